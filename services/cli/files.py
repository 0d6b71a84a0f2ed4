"""Files that the command reads and writes: whole or not at all, with their modes and links kept."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from services.cli.errors import CommandFailed, WrongUse


def read_input(name: str, what: str, limit_bytes: int, shown_in: str = "docs/ensure.md") -> bytes:
    """A file that the user named, "-" for standard input. Raises `WrongUse` if it cannot be read."""
    try:
        if name == "-":
            import sys

            data = sys.stdin.buffer.read(limit_bytes + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise WrongUse(
            f"there is no file {name}", f"{what} is expected there; {shown_in} shows one."
        ) from None
    except OSError as error:
        raise WrongUse(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > limit_bytes:
        raise WrongUse(f"{name} is larger than {limit_bytes} bytes")
    return data


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put `data` in place at once; a link stays a link and a file keeps its mode, or has the one given.

    Raises `CommandFailed` if that cannot be done; then the file is as it was.
    """
    path = real(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode is None:
            mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from None


def remove(path: Path) -> None:
    """Take a file away, where a link leads to: what `write_whole` puts in place. Raises `CommandFailed`."""
    try:
        real(path).unlink()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be removed: {error.strerror}") from None


def real(path: Path) -> Path:
    """Where the links of a path lead to, also if nothing is there."""
    return Path(os.path.realpath(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
