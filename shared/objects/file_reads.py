"""Reading files without a thread switch where the kernel has them in memory."""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path

# Read on the loop when the kernel has it in memory: copying 2 MiB takes about as long as handing
# the read to a thread and back (0.2 ms).
INLINE_READ_BYTES = 2 * 1024 * 1024
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in a file's place must not stop the loop
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

_NO_FILE = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM,
    errno.ELOOP, errno.ENAMETOOLONG,  # links that lead nowhere
    errno.ENXIO,  # a socket
}  # fmt: skip


def is_no_file(error: OSError) -> bool:
    """Whether an error means that no readable file is at a path, so that it counts as missing. All else
    (EIO, ESTALE, EMFILE) means nothing for the file."""
    return error.errno in _NO_FILE


def open_file(path: Path) -> FileIO:
    """The file, unbuffered. Raises `OSError`."""
    return path.open("rb", buffering=0)


def stat_to_send(path: str | Path) -> os.stat_result:
    """`os.stat` of a file that the server is about to open for itself.

    Raises `OSError` for what it could not open, or not begin to read: it would answer by itself.
    """
    descriptor = os.open(path, _OPEN)
    try:
        try:
            os.preadv(descriptor, [bytearray(1)], 0, _NOWAIT)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, start: int, length: int | None) -> bytes:
    """The bytes from `start`, at most `length` (None: to the end). Raises `OSError`; blocks."""
    with path.open("rb", buffering=0) as file:
        if length is None:
            file.seek(start)
            return file.readall()
        parts = []
        while length > 0 and (part := os.pread(file.fileno(), length, start)):
            parts.append(part)
            start += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def read_cached(path: Path, start: int, length: int | None) -> bytes | None:
    """The bytes if few and in the page cache; None sends the caller to a thread."""
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return None
    try:
        available = max(0, os.fstat(descriptor).st_size - start)
        wanted = available if length is None else min(length, available)
        if wanted > INLINE_READ_BYTES:
            return None
        found = pread_cached(descriptor, wanted, start)
    finally:
        os.close(descriptor)
    return found if found is not None and len(found) == wanted else None


def pread_cached(descriptor: int, length: int, position: int) -> bytes | None:
    """At most `length` bytes if the kernel has them in memory; None sends the caller to a thread.

    So does the end of the file: Linux 5.9 and 5.10 tell of it in the middle too (preadv2(2), "BUGS").
    """
    if not _NOWAIT:
        return None
    buffer = bytearray(length)
    try:
        count = os.preadv(descriptor, [buffer], position, _NOWAIT)
    except OSError:  # EAGAIN: not in memory; EOPNOTSUPP: the file system cannot say
        return None
    return bytes(memoryview(buffer)[:count]) if count or not length else None
