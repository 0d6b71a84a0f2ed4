"""Files that the command reads and writes: whole or not at all, with their modes and links kept."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from services.cli.errors import CommandFailed, WrongUse


def read_input(name: str, what: str, limit_bytes: int, shown_in: str = "docs/ensure.md") -> bytes:
    """A file that the user named, "-" for standard input. Raises `WrongUse` if it cannot be read."""
    try:
        if name == "-":
            data = standard_input().read(limit_bytes + 1)
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


def standard_input() -> BinaryIO:
    """Raises `WrongUse` where it was closed before Python started."""
    if sys.stdin is None:
        raise WrongUse("standard input is closed", "Give it something to read, or name a file.")
    return sys.stdin.buffer


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put `data` in place at once, as `writing` does."""
    with writing(path, mode) as write:
        write(data)


@contextlib.contextmanager
def writing(path: Path, mode: int | None = None) -> Iterator[Callable[[bytes], None]]:
    """What writes a file that is put in place at once when all of it is written; a link stays a link and a
    file keeps its mode, or has the one given. Folders that are missing are made.

    Raises `CommandFailed` if that cannot be done, as what writes does; then the file is as it was.
    """
    check_place(path)
    path = real(path)
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode is None:
            mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:

            def write(data: bytes) -> None:
                rest = memoryview(data)
                with _told(path):
                    while rest:
                        rest = rest[file.write(rest) :]

            yield write
            with _told(path):
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
                Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def check_place(path: Path) -> None:
    """Before a command begins: whether a file can be put there. Raises `CommandFailed`."""
    path = real(path)
    with _told(path):
        if path.is_dir():
            raise CommandFailed(f"{path} cannot be written: it is a folder", "Name a file in it.")
        if path.exists() and not path.is_file():
            raise CommandFailed(f"{path} cannot be written: it is no regular file", "Name another.")
        around = path.parent
        while not around.exists() and around != around.parent:
            around = around.parent
        if not around.is_dir():
            raise CommandFailed(f"{path} cannot be written: {around} is no folder", "Name another place.")
        if not os.access(around, os.W_OK | os.X_OK):
            raise CommandFailed(
                f"{path} cannot be written: nothing may be put into {around}", "Name another place."
            )


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "Make room, or name another place."
        raise CommandFailed(f"{path} cannot be written: {error.strerror or error}", hint) from None


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
