"""Which version of a package npm takes for a requirement (its pick-manifest), and what it is then made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from shared.protocols.npm.resolver.environments import Environment, allows_engine
from shared.protocols.npm.resolver.packument import Packument, Release, unpack
from shared.protocols.npm.resolver.specs import Spec, read_spec
from shared.protocols.npm.semver import clean_version, parse_version
from shared.protocols.npm.semver_ranges import parse_range

PEERS = ("peer", "peerOptional")
_LATEST = "latest"


class Wanted(msgspec.Struct, frozen=True):
    """One declared dependency. `kind`: prod, optional, peer or peerOptional, as npm calls them."""

    name: str  # its folder in node_modules; for an alias not the package's name
    kind: str
    spec: Spec
    accepted: Spec | None = None  # what will do as well (acceptDependencies)

    @property
    def text(self) -> str:
        """As a requirement is spelled."""
        return f"{self.name}@{self.spec.text}"


class Manifest(msgspec.Struct, frozen=True):
    """One version, ready to be placed. `wanted` in the order in which npm looks at it."""

    name: str
    version: str
    wanted: tuple[Wanted, ...] = ()
    bundled: frozenset[str] = frozenset()  # names that its tarball brings along
    integrity: str = ""
    filename: str = ""
    deprecated: bool = False
    shrinkwrap: bool = False  # its tarball holds an npm-shrinkwrap.json
    engines: tuple[str, str] = ("", "")
    system: tuple[str, ...] = ()
    processor: tuple[str, ...] = ()
    libc: tuple[str, ...] = ()


def pick(packument: Packument, spec: Spec, environment: Environment, before: float | None) -> Release | None:
    """npm's choice; `before` (unix seconds) as its option of that name.

    A version with no publication time counts as old enough, as in npm.
    """
    releases = packument.releases
    limit = before if packument.timed else None
    if spec.kind == "tag":
        version = packument.tags.get(spec.wanted, "")
        release = releases.get(version)
        if release is None or old_enough(release, limit):
            return release
        return _best(packument, f"<={version}", environment, limit)
    if spec.kind == "version":
        release = releases.get(clean_version(spec.wanted))
        return release if release is not None and old_enough(release, limit) else None
    return _best(packument, spec.wanted, environment, limit)


def old_enough(release: Release, before: float | None) -> bool:
    """Whether a version was there at a moment (unix seconds). A time that cannot be read is never."""
    if before is None or release.published is None:
        return True
    try:
        return datetime.fromisoformat(release.published).timestamp() <= before
    except (ValueError, OverflowError):
        return False


def _best(
    packument: Packument, wanted: str, environment: Environment, before: float | None
) -> Release | None:
    """What `latest` names, if it fits; else the newest, not deprecated and fit for the engine if any is."""
    span = parse_range(wanted)
    if span is None:
        return None
    preferred = packument.releases.get(packument.tags.get(_LATEST, ""))
    if preferred is not None and old_enough(preferred, before):
        parsed = parse_version(preferred.version)
        if (
            (wanted == "*" or (parsed is not None and span.admits(parsed)))
            and not preferred.deprecated
            and allows_engine(preferred.engines, environment)
        ):
            return preferred
    best: Release | None = None
    best_rank = (False, False, False)
    for release in packument.releases.values():
        if not old_enough(release, before):
            continue
        parsed = parse_version(release.version)
        if parsed is None or not span.admits(parsed):
            continue
        engine = allows_engine(release.engines, environment)
        rank = (engine and not release.deprecated, engine, not release.deprecated)
        if rank[0]:
            return release
        if best is None or rank > best_rank:
            best, best_rank = release, rank
    return best


def manifest_of(packument: Packument, release: Release) -> Manifest:
    """A version with its dependencies read; of one name in several groups the last counts (npm's order)."""
    declared = unpack(release)
    optional_peers = set(declared.optional_peers)
    wanted: dict[str, Wanted] = {}
    groups: tuple[tuple[str, Mapping[str, str]], ...] = (
        ("peer", {n: t for n, t in declared.peers.items() if n not in optional_peers}),
        ("peerOptional", {n: t for n, t in declared.peers.items() if n in optional_peers}),
        ("prod", {n: t for n, t in declared.dependencies.items() if n not in declared.optional}),
        ("optional", declared.optional),
    )
    for kind, members in groups:
        for name, text in members.items():
            wanted.pop(name.lower(), None)  # the later one takes the later place too
            accepted = declared.accepted.get(name)
            wanted[name.lower()] = Wanted(
                name, kind, read_spec(name, text), None if accepted is None else read_spec(name, accepted)
            )
    return Manifest(
        name=packument.name,
        version=release.version,
        wanted=tuple(wanted.values()),
        bundled=frozenset(declared.bundled),
        integrity=release.integrity,
        filename=packument.filename(release.version),
        deprecated=release.deprecated,
        shrinkwrap=declared.shrinkwrap,
        engines=release.engines,
        system=tuple(declared.system),
        processor=tuple(declared.processor),
        libc=tuple(declared.libc),
    )
