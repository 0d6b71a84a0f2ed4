"""`Pins`: the locks of a protocol's clients, read as the files that they name (docs/decisions/0052)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from shared.errors import EnsureInvalid
from shared.marks import Mark
from shared.models import FileName
from shared.protocols.reading.lock_text import MOST_PINS, Part, shown
from shared.protocols.reading.purls import Purl


class Pin(msgspec.Struct, frozen=True, omit_defaults=True, order=True):
    """One file that a lock names, checked: no part of it can be a path."""

    name: str  # canonical
    version: str  # as the lock spells it
    filename: str = ""  # "" where the lock tells none
    digests: tuple[tuple[str, str], ...] = ()  # algorithm and hex, sorted; several hex may stand apart by " "
    optional: bool = False  # the lock does not tell whether there is such a file


class Elsewhere(msgspec.Struct, frozen=True, order=True):
    """A package that a lock takes from no registry."""

    name: str
    reason: str


class LockRead(msgspec.Struct, frozen=True):
    """What a lock names."""

    pins: list[Pin]
    elsewhere: list[Elsewhere] = []


Fits = Callable[[str, str, str], bool]
"""Whether a file may be of a project and a version, by its name: canonical project, version, file name. What
tells neither cannot be compared, and may be."""


def check_named(at: Part, pin: Pin, filename: str, fits: Fits) -> None:
    """A lock that gives a version the file of another one lies: its digest would be true. `filename`: as the
    lock tells it, "" for none. Raises `EnsureInvalid`."""
    if filename and not fits(pin.name, pin.version, filename):
        raise at.fault(f"`{shown(filename)}` is no file of version {shown(pin.version)} of {pin.name}")


class Found:
    """Collects what a lock names, each once, up to the bound."""

    def __init__(self, fits: Fits) -> None:
        self._fits = fits
        self._pins: dict[Pin, None] = {}
        self._elsewhere: dict[Elsewhere, None] = {}

    def add(self, at: Part, pin: Pin, told: str = "") -> None:
        """`told`: the file's name where the pin has none, as an address in the lock ends with it. Raises
        `EnsureInvalid`."""
        check_named(at, pin, pin.filename or told, self._fits)
        self._pins[pin] = None
        if len(self._pins) > MOST_PINS:
            raise EnsureInvalid(f"it names more than {MOST_PINS} files")

    def leave_out(self, name: str, reason: str) -> None:
        """A package of no registry."""
        self._elsewhere[Elsewhere(name, reason)] = None

    def read(self) -> LockRead:
        """What was found, in the lock's order."""
        return LockRead(list(self._pins), list(self._elsewhere))


class LockKind(msgspec.Struct, frozen=True):
    """A format of locks. `read` raises `EnsureInvalid` with the place of what is wrong."""

    read: Callable[[bytes], LockRead]
    filename: re.Pattern[str]  # of its files, whole
    mark: Mark | None = None  # of such a file; None: the name is enough


class NotFound(Exception):
    """No file of an index is the pin's; the text says why. `differs`: one of its name has other bytes."""

    def __init__(self, reason: str, *, differs: bool = False) -> None:
        super().__init__(reason)
        self.differs = differs


class Pins:
    """A protocol without kinds has no locks that are read."""

    kinds: ClassVar[Mapping[str, LockKind]] = {}
    reads_index: ClassVar[bool] = True  # whether `find` needs a project's index document

    def find(self, document: Any, pin: Pin) -> FileName:
        """The file of a pin; `document` is its project's decoded index (None without `reads_index`). Raises
        `NotFound`."""
        raise NotImplementedError

    def fits(self, project: str, version: str, filename: str) -> bool:
        """`Fits` of this protocol's files."""
        raise NotImplementedError

    def of_purl(self, purl: Purl, digests: tuple[tuple[str, str], ...]) -> Pin:
        """The pin of a package URL in a bill of materials. Raises `ValueError` with what is wrong."""
        raise ValueError("its locks are not read here")

    def qualifiers(self, pin: Pin, filename: str) -> dict[str, str]:
        """Of the package URL of a found file: what tells it from others of the same version."""
        return {}


def first_different(wanted: tuple[tuple[str, str], ...], told: Mapping[str, str]) -> str:
    """The first algorithm of `wanted` by which `told` (algorithm → hex) is of other bytes; "" for none."""
    for algorithm, digests in wanted:
        if algorithm in told and not set(digests.split()) & set(told[algorithm].split()):
            return algorithm
    return ""
