"""The disk side of the hot objects: one flat folder of copies, each named by the SHA256 of its bytes.

Several gateways may share it. A copy gets its name when it is whole and its digest was right. Nothing is
synced: what a crash leaves is detected, for every process hashes a copy itself before it serves it.
Everything here blocks and raises `OSError`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
import uuid
from pathlib import Path

import msgspec

from shared.digests import is_sha256
from shared.objects.port import split_key
from shared.process.disk import make_expendable

FILE_MODE = 0o644
PART = ".part"
LEFTOVER_SECONDS = 600.0  # a copy that nobody has written to for so long is a dead process's
PROTECTED_SECONDS = 20.0  # a copy used so lately may be about to be opened by the server: it stays
_READ_BYTES = 1024 * 1024


class Copy(msgspec.Struct, frozen=True):
    """The identity of a copy by `stat`: another size, modification time or inode is another file."""

    size_bytes: int
    written_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Copy:
        """From `os.stat`. Not the change time: marking a use changes that."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


class Incoming:
    """A copy that is being written, in any thread; `finish` or `discard` it."""

    def __init__(self, folder: Path, sha256: str) -> None:
        self._target = folder / sha256
        self._sha256 = sha256
        self._path = folder / f"{uuid.uuid4().hex}{PART}"  # two containers may have the same process ids
        self._lock = threading.Lock()  # a cancelled wait leaves its write running in its thread
        self._digest = hashlib.sha256()
        self._size = 0
        self._file = self._path.open("wb", buffering=0)

    def write(self, chunk: bytes) -> None:
        """Append."""
        with self._lock:
            self._digest.update(chunk)
            self._size += len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]

    def finish(self, size_bytes: int) -> Copy | None:
        """Rename it to its digest. Returns None, and stores nothing, if the bytes have another digest."""
        try:
            with self._lock:
                if self._size != size_bytes or self._digest.hexdigest() != self._sha256:
                    return None
                os.fchmod(self._file.fileno(), FILE_MODE)
                self._path.replace(self._target)
                return Copy.of(os.fstat(self._file.fileno()))
        finally:
            self.discard()

    def discard(self) -> None:
        """Close, and remove what was not finished."""
        with self._lock:
            self._file.close()
            self._path.unlink(missing_ok=True)


class HotFolder:
    """The folder. `max_bytes` bounds the copies of all processes that share it."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self.root = root.absolute()
        self.max_bytes = max_bytes

    def path(self, sha256: str) -> Path:
        """Where the copy is, or would be."""
        return self.root / sha256

    def has(self, key: str, size_bytes: int) -> bool:
        """Whether somebody has made a copy of an object, which may be right. Blocks for one `stat`."""
        try:
            return self.path(split_key(key)[1]).stat().st_size == size_bytes
        except OSError:
            return False

    def prepare(self) -> int:
        """Make the folder, see that it can be written to, remove leftovers and what is over the bound.

        The bytes that are there. One listing: no copy is read.
        """
        make_expendable(self.root)
        probe = self.root / f"{uuid.uuid4().hex}{PART}"
        probe.write_bytes(b"orchard")
        probe.unlink()
        oldest = time.time() - LEFTOVER_SECONDS
        for entry in os.scandir(self.root):
            if entry.name.endswith(PART):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < oldest:
                        os.unlink(entry.path)  # noqa: PTH108 - scandir's own path
        used, _ = self.make_room(0)
        return used

    def verify(self, sha256: str, size_bytes: int) -> Copy | None:
        """Hash a copy that somebody else, or an earlier process, wrote. A wrong one is removed.

        None: there is none, or was none that is right. Raises `OSError` if it cannot be read.
        """
        path = self.path(sha256)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        with file:
            before = Copy.of(os.fstat(file.fileno()))
            digest = hashlib.sha256()
            if before.size_bytes == size_bytes:
                while chunk := file.read(_READ_BYTES):
                    digest.update(chunk)
            if digest.hexdigest() == sha256 and Copy.of(os.fstat(file.fileno())) == before:
                mark_used(path, before)
                return before
        path.unlink(missing_ok=True)
        return None

    def make_room(self, wanted: int) -> tuple[int, int]:
        """Remove the copies that were not used for longest until `wanted` more bytes fit.

        Returns the bytes that are there now and how many copies went. Fewer go than are needed where the
        rest is in use: the caller sees by the bytes that there is no room. To list seldom, a tenth of the
        bound is freed once something has to go.
        """
        copies: list[tuple[float, int, str]] = []
        used = 0
        for entry in os.scandir(self.root):
            if not entry.name.endswith(PART) and not is_sha256(entry.name):
                continue
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                used += found.st_size
                if not entry.name.endswith(PART):
                    copies.append((found.st_atime, found.st_size, entry.path))
        if used + wanted <= self.max_bytes:
            return used, 0
        goal = self.max_bytes - max(wanted, self.max_bytes // 10)
        protected = time.time() - PROTECTED_SECONDS
        removed = 0
        for last_used, size, path in sorted(copies):
            if used <= goal or last_used > protected:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - scandir's own path
                removed += 1
            used -= size
        return used, removed


def mark_used(path: Path, copy: Copy) -> None:
    """Let the access time say that the copy was used now, whatever the file system is mounted with."""
    with contextlib.suppress(OSError):  # gone, or another user's: it is evicted earlier than it ought to be
        os.utime(path, ns=(time.time_ns(), copy.written_ns))
