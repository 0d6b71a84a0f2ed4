"""The set-up of a client: the edits of its files, its environment variables, and notes for people."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from shared.clientfiles.form import plain

MOST_BYTES = 1024 * 1024  # of a file of settings
LOOPBACK = ("127.0.0.1", "::1", "localhost")
NAME = (
    "orchard"  # of the index, source, mirror or server in a client's file; also the user's name with a token
)


class CannotEdit(Exception):
    """A file cannot be read, or is not written as it is understood here: it is left alone."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotPossible(CannotEdit):
    """This client cannot be set up as asked: it has no project file, say."""


class Setup(NamedTuple):
    """The wanted set-up: the Orchard's address, whether the client sends a token, which file."""

    base: str
    folder: Path  # where the command was called
    environ: Mapping[str, str]
    token: bool = False
    project: bool = False

    @property
    def host(self) -> str:
        return urlsplit(self.base).hostname or ""

    @property
    def is_plain(self) -> bool:
        return self.base.startswith("http://")

    @property
    def is_plain_and_remote(self) -> bool:
        return self.is_plain and self.host not in LOOPBACK

    @property
    def home(self) -> Path:
        return Path(self.environ.get("HOME") or Path.home())

    @property
    def config_home(self) -> Path:
        named = self.environ.get("XDG_CONFIG_HOME", "")
        return Path(named) if named.startswith("/") else self.home / ".config"


class FileEdit(NamedTuple):
    """One file; `edit` gives the text that it should have for the text it has ("" for no file), both with
    "\\n" at their lines' ends.

    `edit` is pure and idempotent, keeps everything it does not know, and raises `CannotEdit`.
    """

    path: Path
    edit: Callable[[str], str]
    only_there: str = ""  # why it is not made where there is none

    @property
    def snippet(self) -> str:
        """The content of a file that holds nothing else."""
        return self.edit("")


class Surroundings(NamedTuple):
    """What makes all of a protocol's clients, run by one command, use one address and no cache of theirs.

    `without` are variables that name other places beside that address: the command must not inherit them.
    """

    variables: Mapping[str, str]
    files: tuple[FileEdit, ...] = ()
    without: tuple[str, ...] = ()


def read_text(path: Path) -> str:
    """A file's text with "\\n" at its lines' ends, "" for none. Raises `CannotEdit`."""
    return plain(read_whole(path) or "")


def read_whole(path: Path) -> str | None:
    """A file's text as it stands, None for none. Raises `CannotEdit`: also for what is no file (a FIFO would
    be waited for, a device has no end), or none of a size that settings have."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise CannotEdit(f"{path} is no regular file")
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotEdit(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise CannotEdit(f"{path} is larger than {MOST_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CannotEdit(f"{path} is not UTF-8 text") from None


_T = TypeVar("_T")


def told_by(path: Path, read: Callable[[str], _T]) -> _T | None:
    """What a file says, for a note; None of one that cannot be read, which is refused where it is edited."""
    try:
        return read(read_text(path))
    except CannotEdit:
        return None


def set_now(setup: Setup, *names: str) -> tuple[str, ...]:
    """A note for each variable that is set, and counts before the client's file."""
    return tuple(f"{name} is set now and wins over the file." for name in names if setup.environ.get(name))


class ClientSetup(NamedTuple):
    """All of it. `variables` are shell lines for what no file of this client can hold."""

    files: tuple[FileEdit, ...]
    variables: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Configure = Callable[[Setup], ClientSetup]
"""What a protocol's clients.py has for each client, in `CLIENTS`. Asks no server: what is made depends on the
`Setup` and, for notes, on the files that are there."""
