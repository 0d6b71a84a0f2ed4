"""What it means to set a client up: files and how each is changed, variables, and what to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from services.cli.errors import CommandFailed
from services.cli.target import LOOPBACK

NAME = (
    "orchard"  # of the index, source, mirror or server in a client's file; also the user's name with a token
)


class CannotEdit(CommandFailed):
    """A file is not written as it is understood here: it is left alone."""


class Setup(NamedTuple):
    """What is wanted: the Orchard's address, whether the client sends a token, which file."""

    base: str
    folder: Path  # where the command was called
    environ: Mapping[str, str]
    token: bool = False
    project: bool = False

    @property
    def pypi(self) -> str:
        return f"{self.base}/pypi/simple/"

    @property
    def npm(self) -> str:
        return f"{self.base}/npm/"

    @property
    def maven(self) -> str:
        return f"{self.base}/maven/"

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
    """One file; `edit` gives the text that it should have for the text it has ("" for no file).

    `edit` is pure and idempotent, keeps everything it does not know, and raises `CannotEdit`.
    """

    path: Path
    edit: Callable[[str], str]

    @property
    def snippet(self) -> str:
        """What stands in a file that holds nothing else."""
        return self.edit("")


class ClientSetup(NamedTuple):
    """All of it. `variables` are shell lines for what no file of this client can hold."""

    files: tuple[FileEdit, ...]
    variables: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
