"""Lock inputs as documents of ensures: whose kind, which pins, under which key (docs/decisions/0052)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.errors import EnsureInvalid
from shared.marks import marked
from shared.protocols import PROTOCOLS
from shared.protocols.reading.lock_text import MOST_PINS
from shared.protocols.roles.pins import Elsewhere, LockKind, Pin
from shared.resolving import boms
from shared.resolving.boms import BomKind
from shared.resolving.ensure_file import EnsureFile, Wanted, manifests, read_json, unknown

ENSURE_KIND = "ensure"
"""How an ensure file is called beside the kinds of locks."""


class PinnedFiles(Wanted, frozen=True):
    """What a lock input names, in one canonical form: equal files have one key, whatever lock named them."""

    pins: dict[str, tuple[Pin, ...]]  # by protocol, sorted
    elsewhere: tuple[Elsewhere, ...] = ()  # sorted

    @property
    def canonical(self) -> dict[str, Any]:
        """As it is shown in its lock, and as `read_document` takes it back."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @property
    def spoken(self) -> tuple[str, ...]:
        return tuple(self.pins)


_pinned = msgspec.json.Decoder(PinnedFiles)


def is_pinned(ensure: Mapping[str, Any]) -> bool:
    """Whether a lock's `ensure` is of pins."""
    return "pins" in ensure


def read_document(text: str) -> EnsureFile | PinnedFiles:
    """The document of a job. Raises `EnsureInvalid`."""
    if not text.startswith(('{"elsewhere":', '{"pins":')):
        return read_json(text)
    try:
        return _pinned.decode(text)
    except msgspec.DecodeError as error:
        raise EnsureInvalid(f"this version does not read such pins: {error}") from None


def all_kinds() -> dict[str, LockKind | BomKind]:
    """All kinds by name, protocols' own first."""
    return {name: kind for name, (_, kind) in _of_protocols().items()} | boms.KINDS


def _of_protocols() -> dict[str, tuple[str, LockKind]]:
    return {name: (each.name, kind) for each in PROTOCOLS for name, kind in each.pins.kinds.items()}


def basename_of(filename: str) -> str:
    """The last part of a file's name, of whatever system."""
    return filename.replace("\\", "/").rpartition("/")[2]


def kind_of(filename: str, body: bytes) -> str:
    """The kind of a file by its name and its mark; "" for no lock: an ensure file, then."""
    basename = basename_of(filename)
    named = {name: kind.mark for name, kind in all_kinds().items() if kind.filename.fullmatch(basename)}
    by_name = next((name for name, mark in named.items() if mark is None), "")
    return by_name or marked(body, ((name, mark) for name, mark in named.items() if mark is not None))


def read_lock(name: str, body: bytes) -> PinnedFiles:
    """The pins of a lock of this kind. Raises `EnsureInvalid` with the place of what is wrong."""
    if name in boms.KINDS:
        return pinned(*boms.KINDS[name].read(body))
    kinds = _of_protocols()
    if name not in kinds:
        raise EnsureInvalid(unknown("kind of lock:", name, (*all_kinds(), *manifests(), ENSURE_KIND)))
    protocol, kind = kinds[name]
    read = kind.read(body)
    return pinned({protocol: read.pins}, read.elsewhere)


def pinned(pins: Mapping[str, list[Pin]], elsewhere: list[Elsewhere]) -> PinnedFiles:
    """In canonical form. Raises `EnsureInvalid` for none or too many."""
    found = {name: tuple(sorted(set(each))) for name, each in sorted(pins.items()) if each}
    count = sum(map(len, found.values())) + len(elsewhere)
    if count > MOST_PINS:  # of both: what is left out is carried and listed as well
        raise EnsureInvalid(f"it names more than {MOST_PINS} files and packages of no registry")
    if not count:
        raise EnsureInvalid("it names no file of a registry")
    return PinnedFiles(found, tuple(sorted(set(elsewhere))))
