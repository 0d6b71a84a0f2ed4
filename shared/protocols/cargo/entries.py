"""One line of an index read whole: what a version depends on, and which features it offers.

A line that Cargo refuses is refused here (`read_entry` says why): it is no candidate, and the crate's other
versions are. Sources: The Cargo Book, "Registry Index" and "Features"; what its resolver takes and refuses.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec

from shared.protocols.cargo.requirements import parse_requirement

_RUST_VERSION = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*)){0,2}")
_PUBLISHED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class BadEntry(Exception):
    """The line is none that Cargo resolves with; the text says why."""


class DependencyEntry(msgspec.Struct, frozen=True):
    """One dependency as the index spells it. `name` is what the crate calls it; `package` is the crate's
    real name where the two differ."""

    name: str
    req: str
    features: tuple[str, ...] = ()
    optional: bool = False
    default_features: bool = True
    target: str | None = None
    kind: str | None = None  # "normal", "build" or "dev"
    registry: str | None = None  # index of another registry, if it is not this one
    package: str | None = None
    public: bool | None = None
    artifact: tuple[str, ...] | None = None
    bindep_target: str | None = None
    lib: bool = False


class Entry(msgspec.Struct, frozen=True):
    """One version as the index spells it."""

    name: str
    vers: str
    deps: tuple[DependencyEntry, ...]
    cksum: str
    features: dict[str, tuple[str, ...]] = {}
    features2: dict[str, tuple[str, ...]] | None = None
    yanked: bool | None = None
    links: str | None = None
    rust_version: str | None = None
    pubtime: str | None = None
    v: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] | None = None

    @property
    def all_features(self) -> dict[str, tuple[str, ...]]:
        """`features` and `features2`, which older Cargos do not read, as one table."""
        if not self.features2:
            return self.features
        merged = dict(self.features)
        for name, values in self.features2.items():
            merged[name] = (*merged.get(name, ()), *values)
        return merged


_decode: Any = msgspec.json.Decoder(Entry).decode


def read_entry(raw: bytes) -> Entry:
    """The line as an entry. Raises `BadEntry`."""
    try:
        entry: Entry = _decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise BadEntry(f"its index entry is invalid: {ascii(str(error))[:200]}") from None
    for dependency in entry.deps:
        if parse_requirement(dependency.req) is None:
            raise BadEntry(f"its dependency {dependency.name} has the requirement {dependency.req[:60]!r}")
        if dependency.optional and dependency.kind == "dev":
            raise BadEntry(f"its development dependency {dependency.name} is optional")
    if entry.rust_version is not None and _RUST_VERSION.fullmatch(entry.rust_version) is None:
        raise BadEntry(f"its rust_version is {entry.rust_version[:60]!r}")
    if entry.pubtime is not None and published_at(entry) is None:
        raise BadEntry(f"its pubtime is {entry.pubtime[:60]!r}")
    return entry


def published_at(entry: Entry) -> float | None:
    """When the version was published (unix seconds), if the index tells."""
    if entry.pubtime is None or _PUBLISHED.fullmatch(entry.pubtime) is None:
        return None
    try:
        return datetime.fromisoformat(entry.pubtime).timestamp()
    except ValueError:
        return None
