"""Reading one small file out of an untrusted .tar.gz: a header walk with a budget, never an unpacking.

`tarfile` reads pax headers of any size into memory (306 kB on the wire became 0.9 GB); this walk
needs no more of the format than the names and sizes of regular files.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

MAX_MEMBER_BYTES = 2 << 20
MAX_UNPACKED_BYTES = 64 << 20
MAX_HEADER_BYTES = 1 << 20

_BLOCK = 512
_READ_BYTES = 64 << 10
_PIECE_BYTES = 256 << 10
_REGULAR = (b"0", b"\0", b"7")
_EXTENSIONS = (b"x", b"g", b"L", b"K", b"X")  # headers about the following member
_CARRIES_NAME = (b"x", b"L", b"X")


class BadArchive(Exception):
    """The archive is broken or hostile; the text says how. Never leaves the protocols."""


class NoSuchMember(BadArchive):
    """The archive is sound as far as it was read, and lacks what was sought."""


class _Unpacked:
    """The unpacked bytes of a gzip stream, at most `MAX_UNPACKED_BYTES` of them."""

    def __init__(self, file: BinaryIO, wanted: str) -> None:
        file.seek(0)
        self._wanted = wanted
        self._file = file
        self._inflate = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._buffer = bytearray()
        self._left = MAX_UNPACKED_BYTES

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes; raises `BadArchive` at the end of the stream or of the budget."""
        while len(self._buffer) < count:
            self._more()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def skip(self, count: int) -> None:
        """Pass over `count` bytes, a piece at a time."""
        while count > 0:
            if not self._buffer:
                self._more()
            step = min(count, len(self._buffer))
            del self._buffer[:step]
            count -= step

    def _more(self) -> None:
        if self._inflate.eof:
            raise NoSuchMember(f"the archive ends without {self._wanted}")
        packed = self._pending or self._file.read(_READ_BYTES)
        if not packed:
            raise BadArchive("the archive is cut off")
        try:
            piece = self._inflate.decompress(packed, _PIECE_BYTES)
        except zlib.error as error:
            raise BadArchive("the gzip stream is broken") from error
        self._pending = self._inflate.unconsumed_tail
        self._left -= len(piece)
        if self._left < 0:
            raise BadArchive(f"no {self._wanted} in the first {MAX_UNPACKED_BYTES >> 20} MiB")
        self._buffer += piece


def read_top_file(file: BinaryIO, wanted: str) -> tuple[str, bytes]:
    """The top folder's name and the first regular file "{folder}/{wanted}". Raises `BadArchive`.

    Links and devices are passed over whatever their names; nothing is written anywhere.
    """
    stream = _Unpacked(file, wanted)
    renamed = False
    while True:
        header = stream.read(_BLOCK)
        if not header.strip(b"\0"):
            raise NoSuchMember(f"the archive has no {wanted}")
        size = _size(header)
        kind = header[156:157]
        padded = (size + _BLOCK - 1) // _BLOCK * _BLOCK
        if kind in _EXTENSIONS:
            if size > MAX_HEADER_BYTES:
                raise BadArchive("an extended header is too large")
            content = stream.read(padded)
            renamed = renamed or kind == b"L" or (kind in _CARRIES_NAME and b" path=" in content)
            continue
        folder, slash, rest = _name(header).partition("/")
        if kind in _REGULAR and slash and folder not in ("", ".", "..") and rest == wanted:
            if renamed:
                raise BadArchive(f"{wanted} has two names")
            if size > MAX_MEMBER_BYTES:
                raise BadArchive(f"{wanted} is larger than {MAX_MEMBER_BYTES} bytes")
            return folder, stream.read(size)
        renamed = False
        stream.skip(padded)


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0":  # POSIX: a prefix before the name; GNU keeps times there
        prefix = header[345:500].split(b"\0", 1)[0]
        if prefix:
            name = prefix + b"/" + name
    return name.decode("utf-8", "replace").removeprefix("./")


def _size(header: bytes) -> int:
    checksum = sum(header[:148]) + sum(header[156:]) + 8 * 32
    try:
        if int(header[148:156].strip(b" \0") or b"0", 8) != checksum:
            raise BadArchive("a tar header has a wrong checksum")
        field = header[124:136]
        if field[0] & 0x80:  # base 256, for sizes over 8 GiB
            raise BadArchive("a member is larger than any budget")
        size = int(field.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise BadArchive("a tar header is broken") from error
    if size < 0:
        raise BadArchive("a tar header is broken")
    return size
