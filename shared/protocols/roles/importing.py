"""`Importing`: files of a folder, or of another cache's store, read as what an index lists
(docs/decisions/0058)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import msgspec


class NotMine(Exception):
    """It is no file of this protocol; the text says why."""


class Damaged(Exception):
    """A file of this protocol that cannot be taken; the text says why."""


LEAST_DIGITS = 16  # of a digest that its store tells


class Told(msgspec.Struct, frozen=True):
    """What its own store says that a file's digest is."""

    algorithms: tuple[str, ...]  # one of them it is: names of `DIGESTS`
    digest: str  # hex, or how it begins: some stores keep no more

    def fits(self, digests: Mapping[str, str]) -> bool:
        """Whether bytes with these digests are the ones. A text that is too short to tell fits none."""
        told = self.digest if len(self.digest) >= LEAST_DIGITS else "-"
        return any(digests[each].startswith(told) for each in self.algorithms)


DIGESTS = ("sha256", "sha512", "sha1", "md5", "blake2b")
"""Taken of every file that is imported; `blake2b` with 32 bytes, as stores of PyPI's files have it."""

Beside = Callable[[str], bytes | None]
"""The content of a small file in the folder of the one that is read, by its name; None: there is none."""


class Listed(msgspec.Struct, frozen=True):
    """A file as its project's index is to list it. `path`: below the source's address."""

    project: str  # canonical
    version: str
    filename: str
    path: str
    about: bytes = b""  # what the index tells of it besides; read by the same role alone


class Imported(msgspec.Struct, frozen=True):
    """The same, stored."""

    listed: Listed
    sha256: str
    size_bytes: int
    digests: dict[str, str]  # of `DIGESTS`


class Page(msgspec.Struct, frozen=True):
    """An answer of the source `import` that is no file."""

    content_type: str
    body: bytes


class Importing:
    """Imports nothing by default."""

    def may_be(self, parts: Sequence[str]) -> bool:
        """Whether a file can be one of this protocol's, by its path in the folder, or by the name that its
        store gives it."""
        return False

    def told(self, parts: Sequence[str], beside: Beside) -> tuple[Told, ...]:
        """What its store says of a file's digest; () where it says nothing. Raises `Damaged`."""
        return ()

    def read(self, parts: Sequence[str], file: BinaryIO, size_bytes: int, beside: Beside) -> Listed:
        """What a file is, by its name and by what is in it. `file` is seekable. Bounded in bytes.

        Raises `NotMine`, `Damaged`.
        """
        raise NotMine("no protocol knows it")

    def spelt_alike(self, path: str) -> str:
        """The same for all paths below the source's address that clients take for one file."""
        return path

    def project_at(self, path: str) -> str | None:
        """The project whose index, or document of one version, lies at a path below the source's address
        (decoded); "" for what is of no project; None: nothing but a file can."""
        return None

    def page(self, path: str, address: str, files: Sequence[Imported]) -> Page | None:
        """What lies there, made of all imported files of `project_at(path)`. `address`: the source's."""
        return None
