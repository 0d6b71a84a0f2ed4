"""Names of packages in what is passed on (audits, searches), and the same without some of them.

A name that belongs to one source must not reach another in the body of an audit either (dependency
confusion: whoever reads the names can take them). Pure; in bounded work and depth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from shared.errors import MalformedRequest, UpstreamInvalid, UpstreamRefused
from shared.protocols.base import Passed
from shared.protocols.json_text import load_object
from shared.protocols.npm import names

MAX_DEPTH = 100  # of a tree of dependencies
_BULK = "-/npm/v1/security/advisories/bulk"
_SEARCH = "-/v1/search"
_NO_RESULTS = b'{"objects":[],"total":0}'
# What an audit of a tree needs; other members may hold addresses.
_PLAIN_MEMBERS = ("version", "integrity", "dev", "optional", "peer", "bundled")

Withheld = Callable[[str], bool]


def told_names(path: str, body: bytes) -> frozenset[str]:
    """All that may be a package's name in a request. Raises `MalformedRequest` if it cannot be read."""
    address, _, query = path.partition("?")
    if address == _SEARCH:
        return frozenset(_searched(query))
    tree = _read(body)
    if address == _BULK:
        return frozenset(tree)
    return frozenset(_all_names(tree, 0))


def without_names(path: str, body: bytes, withheld: Collection[str]) -> Passed:
    """The request without these names. `Passed.instead` is the answer where nothing is left to ask.

    Raises `UpstreamRefused` for an audit of which nothing is left: "nothing found" would be said of packages
    that nobody looked at.
    """
    address = path.partition("?")[0]
    if address == _SEARCH:
        return Passed(instead=_NO_RESULTS)
    tree = _read(body)
    if address == _BULK:
        left = {name: tree[name] for name in tree if name not in withheld}
        _check_left(left)
        return Passed(msgspec.json.encode(left))
    root = _node(tree, lambda name: name in withheld)
    _check_left(root.get("dependencies") or root.get("requires"))
    for key in ("install", "remove"):
        if isinstance(tree.get(key), list):
            root[key] = [each for each in tree[key] if _bare(each) not in withheld]
    name = tree.get("name")
    if isinstance(name, str) and name not in withheld:
        root["name"] = name
    return Passed(msgspec.json.encode(root))


def check_passed(path: str, body: bytes) -> None:
    """See `PackageProxyBase.check_passed`: npm reads advisories as lists by name, and takes anything else
    (null, an error message) for none."""
    address = path.partition("?")[0]
    if address == _SEARCH:
        return
    try:
        found = load_object(body)
    except ValueError as error:
        raise UpstreamInvalid("the upstream's answer is no audit") from error
    if address == _BULK and not all(bytes(memoryview(raw)[:1]) == b"[" for raw in found.values()):
        raise UpstreamInvalid("the upstream's answer is no audit")


def _check_left(asked: Any) -> None:
    if not asked:
        raise UpstreamRefused(
            "the packages belong to other upstreams than the one that audits: none was audited"
        )


def _read(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedRequest("the body is not a JSON object") from error
    return found


def _searched(query: str) -> Iterator[str]:
    """The words of a search; a scope stands for any name in it."""
    for _, value in parse_qsl(query, keep_blank_values=True):
        for word in value.split():
            bare = word.rpartition(":")[2].strip("\"'")
            yield bare
            yield f"@{bare.strip('@/')}/_"


def _all_names(value: Any, depth: int) -> Iterator[str]:
    if depth > 2 * MAX_DEPTH:
        raise MalformedRequest("the tree of dependencies is too deep")
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from _all_names(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            yield from _all_names(member, depth + 1)
    elif isinstance(value, str):
        bare = _bare(value)
        if names.is_name(bare):
            yield bare


def _node(node: dict[str, Any], withheld: Withheld) -> dict[str, Any]:
    kept = {key: node[key] for key in _PLAIN_MEMBERS if isinstance(node.get(key), str | bool)}
    requires = node.get("requires")
    if isinstance(requires, bool):
        kept["requires"] = requires
    elif isinstance(requires, dict):
        kept["requires"] = {
            name: spec
            for name, spec in requires.items()
            if isinstance(spec, str) and not withheld(name) and not withheld(_bare(spec))
        }
    dependencies = node.get("dependencies")
    if isinstance(dependencies, dict):
        kept["dependencies"] = {
            name: _node(each, withheld)
            for name, each in dependencies.items()
            if isinstance(each, dict)
            and not withheld(name)
            and not withheld(_bare(str(each.get("version", ""))))
        }
    return kept


def _bare(spec: Any) -> str:
    """The name in `name@range` or `npm:name@range` (npm-package-arg, aliases); else the text itself."""
    text = str(spec).removeprefix("npm:")
    return text[:1] + text[1:].partition("@")[0]
