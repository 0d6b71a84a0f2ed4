"""Reading one small text member out of an untrusted zip archive, in bounded bytes and work."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO

from shared.protocols.reading.seekable import Seekable
from shared.protocols.reading.tarballs import MAX_MEMBER_BYTES, BadArchive, NoSuchMember

MAX_ZIP_ENTRIES = 200_000
MAX_DIRECTORY_BYTES = 64 << 20
# Above this many bytes unpacked, more than 50:1 is a bomb (the rule of the public registry).
MAX_RATIO, RATIO_FLOOR_BYTES = 50, 64 << 20

_TAIL_BYTES = 22 + 0xFFFF  # the end record with the longest comment
_WINDOW_BYTES = 16 << 10
_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")
_STREAMED = 0x08  # bit 3: CRC and sizes follow the data; the local header has zeros
_ENCRYPTED = 0x01 | 0x40 | 0x2000


class Windowed(Seekable):
    """A view of a seekable file that fetches few and large pieces: the file may be an object store.

    The tail is fetched once (a zip's directory and usually its METADATA lie there); any other
    read fetches at least 16 KiB from its start and keeps it. Unless `ahead`: of a file in memory, of
    which perhaps only some pieces are there, nothing is read but what is asked for.
    """

    def __init__(self, file: BinaryIO, size_bytes: int, *, ahead: bool = True) -> None:
        super().__init__(size_bytes)
        self._file = file
        self._window_bytes = _WINDOW_BYTES if ahead else 0
        start = max(0, size_bytes - _TAIL_BYTES) if ahead else size_bytes
        self._windows = [(start, self._fetch(start, size_bytes - start)), (0, b"")]

    def read(self, size: int | None = -1) -> bytes:
        data = self.peek_at(self.position, self.wanted(size))
        self.position += len(data)
        return data

    def peek_at(self, start: int, count: int) -> bytes:
        """`count` bytes from `start`, fewer at the end of the file; the position stays."""
        count = max(0, min(count, self.size - start))
        for begin, data in self._windows:
            if begin <= start and start + count <= begin + len(data):
                return data[start - begin : start - begin + count]
        data = self._fetch(start, min(max(count, self._window_bytes), self.size - start))
        self._windows[1] = (start, data)
        return data[:count]

    def _fetch(self, start: int, count: int) -> bytes:
        self._file.seek(start)
        pieces = []
        while count > 0:
            piece = self._file.read(count)
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


def read_zip_member(
    file: BinaryIO, size_bytes: int, choose: Callable[[list[str]], str], *, ahead: bool = True
) -> bytes:
    """The bytes of the member that `choose` picks from all names in the archive. `ahead`: see `Windowed`.

    Refuses (`BadArchive`) what readers of zip files disagree about (CVE-2025-54368): bytes before
    or after the archive, a name given twice, local headers unlike the directory; and bombs, lies
    about sizes, bad CRCs, encryption, rare compressions.
    """
    source = Windowed(file, size_bytes, ahead=ahead)
    _check_directory(source, size_bytes)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _check_entries(entries, size_bytes)
            name = choose([entry.filename for entry in entries])
            chosen = [entry for entry in entries if entry.filename == name]
            if len(chosen) != 1:
                raise BadArchive("the member is in the archive twice")
            entry = chosen[0]
            _check_member(source, entry)
            with archive.open(entry) as member:
                data = member.read(MAX_MEMBER_BYTES + 1)
    except (
        zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error, NotImplementedError,
        RuntimeError, OverflowError, UnicodeError, IndexError,
    ) as error:  # fmt: skip
        raise BadArchive(f"the zip archive is broken ({type(error).__name__})") from error
    if len(data) != entry.file_size:
        raise BadArchive("the member is not as long as the archive says")
    return data


def top_member(wanted: str) -> Callable[[list[str]], str]:
    """For `read_zip_member`: the one file of this name that lies in a folder at the top."""

    def choose(members: list[str]) -> str:
        found = {m for m in members if m.count("/") == 1 and m.endswith(f"/{wanted}") and m != f"/{wanted}"}
        if not found:
            raise NoSuchMember(f"the archive has no {wanted}")
        if len(found) > 1:
            raise BadArchive(f"the archive has several {wanted} files")
        return found.pop()

    return choose


def _check_directory(source: Windowed, size_bytes: int) -> None:
    """Look at the archive's end before `zipfile` parses a directory of any size."""
    tail = source.peek_at(size_bytes - _END.size, _END.size) if size_bytes > _END.size else b""
    if tail[:4] != b"PK\x05\x06":  # a comment stands behind it
        tail = source.peek_at(max(0, size_bytes - _TAIL_BYTES), _TAIL_BYTES)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise BadArchive("not a zip archive")
    *_, directory_bytes, offset, comment_bytes = _END.unpack_from(tail, at)
    end = size_bytes - len(tail) + at
    if end + _END.size + comment_bytes != size_bytes:
        raise BadArchive("bytes after the end of the zip archive")
    if 0xFFFFFFFF in (directory_bytes, offset):
        locator = source.peek_at(end - 20, 20) if end >= 20 else b""
        if locator[:4] != b"PK\x06\x07":
            raise BadArchive("the zip64 locator is missing")
        end = int.from_bytes(locator[8:16], "little")
        record = source.peek_at(end, 56) if end < size_bytes else b""
        if len(record) < 56 or record[:4] != b"PK\x06\x06":
            raise BadArchive("the zip64 record is missing")
        directory_bytes, offset = struct.unpack_from("<QQ", record, 40)
    elif end >= 20 and source.peek_at(end - 20, 4) == b"PK\x06\x07":
        end = int.from_bytes(source.peek_at(end - 12, 8), "little")
    if directory_bytes > MAX_DIRECTORY_BYTES:
        raise BadArchive("the zip directory is too large")
    if offset + directory_bytes != end:
        raise BadArchive("bytes before the zip archive or inside its directory")
    if source.peek_at(offset, directory_bytes).count(b"PK\x01\x02") > MAX_ZIP_ENTRIES:
        raise BadArchive(f"more than {MAX_ZIP_ENTRIES} members")


def _check_entries(entries: list[zipfile.ZipInfo], size_bytes: int) -> None:
    if not entries:
        raise NoSuchMember("the archive is empty")
    if min(entry.header_offset for entry in entries) != 0:
        raise BadArchive("bytes before the zip archive")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > RATIO_FLOOR_BYTES and unpacked > MAX_RATIO * size_bytes:
        raise BadArchive(f"the archive unpacks to more than {MAX_RATIO} times its size")


def _check_member(source: Windowed, entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise BadArchive("the member is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadArchive("the member is compressed in a way that is not read")
    if entry.file_size > MAX_MEMBER_BYTES:
        raise BadArchive(f"the member is larger than {MAX_MEMBER_BYTES} bytes")
    stated = entry.orig_filename.encode()
    # All of it at once, though its extra field may be longer: one request where the file lies elsewhere.
    whole = _LOCAL.size + len(stated) + len(entry.extra) + min(entry.compress_size, MAX_MEMBER_BYTES)
    header = source.peek_at(entry.header_offset, whole)
    if len(header) < _LOCAL.size:
        raise BadArchive("the member's local header is cut off")
    mark, _, flags, method, _, _, crc, packed, unpacked, name_length, _ = _LOCAL.unpack_from(header)
    name = header[_LOCAL.size : _LOCAL.size + name_length]
    if mark != b"PK\x03\x04" or method != entry.compress_type or name != stated:
        raise BadArchive("the member's local header is not as the directory says")
    same = (crc, packed, unpacked) == (entry.CRC, entry.compress_size, entry.file_size)
    zip64 = crc == entry.CRC and packed == unpacked == 0xFFFFFFFF
    if not (same or zip64 or (flags & _STREAMED and crc == packed == unpacked == 0)):
        raise BadArchive("the member's local header is not as the directory says")
