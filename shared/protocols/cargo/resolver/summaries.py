"""What the resolver works with: versions, the dependencies they declare and the features they offer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.protocols.cargo.entries import BadEntry, DependencyEntry, Entry
from shared.protocols.cargo.requirements import Requirement, parse_requirement
from shared.protocols.cargo.semver import Version, parse_version

Slot = tuple[str, tuple[int, ...]]
"""A crate and one range of compatible versions: a graph holds at most one version of each."""

_FEATURE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class Dependency:
    """One declared dependency. Equal declarations are one object (`Registry.intern`)."""

    __slots__ = (
        "crate",
        "default_features",
        "features",
        "kind",
        "name",
        "optional",
        "registry",
        "requirement",
    )

    def __init__(self, entry: DependencyEntry) -> None:
        requirement = parse_requirement(entry.req)
        assert requirement is not None, "read_entry checks it"
        self.name = entry.name  # as features spell it
        self.crate = entry.package or entry.name
        self.requirement: Requirement = requirement
        # Old registries sent the empty feature, which is none.
        self.features = frozenset(feature for feature in entry.features if feature)
        self.default_features = entry.default_features
        self.optional = entry.optional
        self.kind = entry.kind if entry.kind in ("dev", "build") else "normal"
        self.registry = entry.registry or ""

    def __repr__(self) -> str:
        return f"Dependency({self.crate} {self.requirement.text})"


class FeatureValue(NamedTuple):
    """What a feature turns on. `kind`: "feature" (`name`), "dep" (`dep:name`) or "dep feature"
    (`name/feature`, and `name?/feature`, which is weak)."""

    kind: str
    name: str
    feature: str = ""
    weak: bool = False


class Summary:
    """One version of a crate. Each is one object in a resolution: compared by identity."""

    __slots__ = ("cksum", "dependencies", "features", "links", "name", "slot", "version", "yanked")

    def __init__(
        self,
        name: str,
        version: Version,
        dependencies: tuple[Dependency, ...],
        features: Mapping[str, tuple[FeatureValue, ...]],
        *,
        links: str = "",
        cksum: str = "",
        yanked: bool = False,
    ) -> None:
        self.name = name
        self.version = version
        self.slot: Slot = (name, version.compatibility)
        self.dependencies = dependencies  # not those for development, which only a workspace's own have
        self.features = features
        self.links = links
        self.cksum = cksum
        self.yanked = yanked

    def __repr__(self) -> str:
        return f"Summary({self.label})"

    @property
    def label(self) -> str:
        """Name and version, as messages show it."""
        return f"{self.name} {self.version.text}" if self.name else "the request"


def make_summary(entry: Entry, dependencies: Iterable[Dependency]) -> Summary:
    """The version of an entry; `dependencies` are its own, in order.

    Raises `BadEntry` for a feature table that Cargo refuses.
    """
    version = parse_version(entry.vers)
    assert version is not None, "the index checks it"
    declared = tuple(dependencies)
    return Summary(
        entry.name,
        version,
        tuple(each for each in declared if each.kind != "dev"),
        _feature_table(entry.all_features, declared),
        links=entry.links or "",
        cksum=entry.cksum.lower(),
        yanked=bool(entry.yanked),
    )


def _feature_table(
    declared: Mapping[str, tuple[str, ...]], dependencies: tuple[Dependency, ...]
) -> dict[str, tuple[FeatureValue, ...]]:
    """The table with a feature for each optional dependency that no `dep:` names, checked."""
    optional: dict[str, bool] = {}
    for each in dependencies:
        optional[each.name] = optional.get(each.name, False) or each.optional
    table = {name: tuple(map(_value, values)) for name, values in declared.items()}
    named = {value.name for values in table.values() for value in values if value.kind == "dep"}
    for name, is_optional in optional.items():
        if is_optional and name not in declared and name not in named:
            table[name] = (FeatureValue("dep", name),)
    used: set[str] = set()
    for name, values in table.items():
        if not _is_feature_name(name):
            raise BadEntry(f"its feature {name[:60]!r} has no feature's name")
        for value in values:
            why = _why_refused(value, declared, table, optional)
            if why:
                raise BadEntry(f"its feature {name[:60]!r} names {value.name[:60]!r}, {why}")
            if value.kind != "feature":
                used.add(value.name)
    unused = sorted(name for name, is_optional in optional.items() if is_optional and name not in used)
    if unused:
        raise BadEntry(f"its optional dependency {unused[0]!r} is in no feature")
    return table


def _value(text: str) -> FeatureValue:
    name, slash, feature = text.partition("/")
    if slash:
        return FeatureValue("dep feature", name.removesuffix("?"), feature, name.endswith("?"))
    if text.startswith("dep:"):
        return FeatureValue("dep", text.removeprefix("dep:"))
    return FeatureValue("feature", text)


def _why_refused(
    value: FeatureValue,
    declared: Mapping[str, tuple[str, ...]],
    table: Mapping[str, tuple[FeatureValue, ...]],
    optional: Mapping[str, bool],
) -> str:
    """Why a value of a feature cannot stand, "" if it can."""
    if value.kind == "feature" and value.name in declared:
        return ""
    if value.kind == "dep feature" and "/" in value.feature:
        return "with several slashes"
    if value.kind == "dep feature" and value.name.startswith("dep:"):
        return "with both dep: and a slash"
    if value.name not in optional:
        return "which is no feature and no dependency"
    if value.kind == "dep feature" and not value.weak:
        return ""
    if not optional[value.name]:
        return "which is no optional dependency"
    return "which has no feature of its name" if value.kind == "feature" and value.name not in table else ""


def _is_feature_name(name: str) -> bool:
    """Letters, digits, `_`, `-`, `+` and `.`, the last three not in front (The Cargo Book, "Features")."""
    if name.isascii():
        return _FEATURE.fullmatch(name) is not None
    return name[0] not in "-+." and all(each in "-+." or f"a{each}".isidentifier() for each in name)
