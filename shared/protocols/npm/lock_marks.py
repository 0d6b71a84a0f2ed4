"""`dev`, `optional`, `devOptional` and `peer` of places in a package-lock.json, as npm derives them.

A mark says what a place is only needed by: it is there unless some chain of dependencies without that kind
leads from the project to the place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from shared.protocols.npm.package_json import dependencies_of

_ALL = frozenset(("prod", "dev", "optional", "peer", "peerOptional"))
_DEV, _OPTIONAL, _PEER = {"dev"}, {"optional", "peerOptional"}, {"peer", "peerOptional"}


def mark(packages: Mapping[str, dict[str, Any]]) -> None:
    """Set the marks of all places; "" is the project. Only it and its members have `devDependencies`."""
    edges = {place: _edges(packages, place) for place in packages}
    without_dev, without_optional = _reached(edges, _ALL - _DEV), _reached(edges, _ALL - _OPTIONAL)
    without_both, without_peer = _reached(edges, _ALL - _DEV - _OPTIONAL), _reached(edges, _ALL - _PEER)
    for place, entry in packages.items():
        found = {
            "dev": place not in without_dev,
            "optional": place not in without_optional,
            "peer": place not in without_peer,
        }
        found["devOptional"] = place not in without_both and not (found["dev"] or found["optional"])
        if not entry.get("link"):  # npm marks what is linked, not the link
            entry.update({name: True for name, is_so in found.items() if is_so})


def _reached(edges: Mapping[str, Mapping[str, str]], kinds: Collection[str]) -> set[str]:
    found, left = {""}, [""]
    while left:
        for target, kind in edges[left.pop()].items():
            if kind in kinds and target not in found:
                found.add(target)
                left.append(target)
    return found


def _edges(packages: Mapping[str, Any], place: str) -> dict[str, str]:
    """Place → kind of what a place depends on and finds. A link leads to its folder, and the project needs
    each of its members."""
    if packages[place].get("link"):
        return {packages[place]["resolved"]: "prod"}
    found = {}
    for one in dependencies_of(packages[place]):
        target = _target(packages, place, one.name)
        if target:
            found[target] = one.kind
    links = (each for each, entry in packages.items() if entry.get("link")) if not place else ()
    return found | dict.fromkeys(links, "prod")


def _target(packages: Mapping[str, Any], place: str, name: str) -> str:
    """Where a package finds another: in its own folder, else in the nearest above ("" for nowhere)."""
    while True:
        candidate = f"{place}/node_modules/{name}" if place else f"node_modules/{name}"
        if candidate in packages:
            return candidate
        if not place:
            return ""
        place = place.rpartition("/")[0]
