"""What an npm registry offers beside packages: answered here, or passed on and never cached."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.errors import MalformedRequest, MethodNotAllowed, RouteNotFound
from shared.protocols.resource import Resource

MAX_QUERY_BYTES = 2048

_QUERY = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")

# What an audit client takes for "nothing found": told only where the operator wants it without an audit.
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
        raise MethodNotAllowed(f"{method[:20]} is not possible here")
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
