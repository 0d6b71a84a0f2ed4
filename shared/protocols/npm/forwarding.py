"""Addresses of an npm registry that are no packages: answered here, or forwarded and never cached.

What is forwarded (audits, searches) goes without names that belong to another source: they must not reach
this one in the body of an audit either (dependency confusion: whoever reads the names can take them). Pure;
in bounded work and depth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from shared.errors import MalformedRequest, MethodNotAllowed, RouteNotFound, UpstreamInvalid, UpstreamRefused
from shared.protocols.npm import audit, names
from shared.protocols.reading.json_text import load_object
from shared.protocols.resource import Resource
from shared.protocols.roles.upstream import Forwarding, Passed

MAX_QUERY_BYTES = 2048

_QUERY = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")

# What an audit client takes for "nothing found": answered only where the operator wants it without an audit.
NO_ADVISORIES = b"{}"
NO_AUDIT = (
    b'{"actions":[],"advisories":{},"muted":[],"metadata":{"vulnerabilities":{"info":0,"low":0,'
    b'"moderate":0,"high":0,"critical":0},"dependencies":0,"devDependencies":0,'
    b'"optionalDependencies":0,"totalDependencies":0}}'
)
POSTED = {
    b"/-/npm/v1/security/advisories/bulk": NO_ADVISORIES,
    b"/-/npm/v1/security/audits/quick": NO_AUDIT,
    b"/-/npm/v1/security/audits": NO_AUDIT,
}


def posted(method: str, raw_path: bytes) -> Resource:
    """The resource of one of the addresses in `POSTED`."""
    if method != "POST":
        raise MethodNotAllowed(f"{method[:20]} is not possible here", allow="POST")
    return _forward("audit", raw_path[1:].decode(), POSTED[raw_path])


def service(rest: Sequence[str], query: bytes) -> Resource:
    """The resource of an address below "/-/". Raises `RouteNotFound`, `MalformedRequest`."""
    match rest:
        case ["ping"]:
            return _forward("ping", "", b"{}")
        case ["whoami"]:  # whoever Orchard is upstream, is not who the client is
            return _forward("whoami", "", b'{"username":"anonymous"}')
        case ["v1", "search"]:
            if not _is_query(query):
                raise MalformedRequest("the query is too long or has a character that no query has")
            return _forward("search", f"-/v1/search?{query.decode()}", b"")
    raise RouteNotFound("nothing is served at this address")


def passes_on(method: str, path: str) -> bool:
    """Whether `posted` or `service` makes this upstream path."""
    if method == "POST":
        return b"/" + path.encode() in POSTED
    head, _, query = path.partition("?")
    return (method, head) == ("GET", "-/v1/search") and _is_query(query.encode())


def _is_query(query: bytes) -> bool:
    return len(query) <= MAX_QUERY_BYTES and _QUERY.fullmatch(query) is not None


def _forward(identity: str, path: str, fallback: bytes) -> Resource:
    return Resource(
        "npm",
        "forward",
        identity,
        vary="",
        forward_path=path,
        forward_fallback=fallback,
        content_codings=("identity",),
    )


MAX_DEPTH = 100  # of a tree of dependencies
_BULK = "-/npm/v1/security/advisories/bulk"
_SEARCH = "-/v1/search"
_NO_RESULTS = b'{"objects":[],"total":0}'
# What an audit of a tree needs; other members may hold addresses.
_PLAIN_MEMBERS = ("version", "integrity", "dev", "optional", "peer", "bundled")

Withheld = Callable[[str], bool]


def named_in(path: str, body: bytes) -> frozenset[str]:
    """All that may be a package's name in a request. Raises `MalformedRequest` if it cannot be read."""
    address, _, query = path.partition("?")
    if address == _SEARCH:
        return frozenset(_searched(query))
    tree = _read(body)
    if address == _BULK:
        return frozenset(tree)
    return frozenset(_all_names(tree, 0))


def without_names(path: str, body: bytes, withheld: Collection[str]) -> Passed:
    """The request without these names. `Passed.instead` is the answer where nothing is left to ask. Raises
    `UpstreamRefused` for an audit of which nothing is left: "nothing found" would cover packages that were
    not audited.
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
    """See `Forwarding.check_passed`: npm reads advisories as lists by name, and takes anything else
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


def audited(path: str, body: bytes, told: audit.Told) -> bytes | None:
    """See `Forwarding.audited`."""
    if b"/" + path.encode() not in POSTED:
        return None
    return (audit.bulk if path == _BULK else audit.tree)(_read(body), told)


class NpmForwarding(Forwarding):
    """Audits and searches."""

    audited = staticmethod(audited)

    passes_on = staticmethod(passes_on)
    named_in = staticmethod(named_in)
    without_names = staticmethod(without_names)
    check_passed = staticmethod(check_passed)
