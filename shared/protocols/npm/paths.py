"""The grammar below /npm: from an undecoded path to the resource it names, or a refusal.

A scope's slash comes as "/", "%2f" or "%2F", in tarball addresses too: all are one resource. No
other encoded slash is taken. Everything is refused here, before any key, job or request upstream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.errors import MalformedRequest, MethodNotAllowed, RouteNotFound
from shared.protocols.npm import names, negotiation
from shared.protocols.raw_paths import read_segments
from shared.protocols.resource import Resource

MAX_QUERY_BYTES = 2048
ONE_FILE_ID = "-"  # an address holds no digest: a file is known by its name alone

_SCOPE_SLASH = re.compile(rb"(/)(?:@|%40)([A-Za-z0-9._~!'()*-]+)%2[fF]")
_QUERY = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")

# What an audit client takes for "nothing found": with no upstream to ask, an install must not fail.
NO_ADVISORIES = b"{}"
NO_AUDIT = (
    b'{"actions":[],"advisories":{},"muted":[],"metadata":{"vulnerabilities":{"info":0,"low":0,'
    b'"moderate":0,"high":0,"critical":0},"dependencies":0,"devDependencies":0,'
    b'"optionalDependencies":0,"totalDependencies":0}}'
)
_POSTED = {
    b"/-/npm/v1/security/advisories/bulk": NO_ADVISORIES,
    b"/-/npm/v1/security/audits/quick": NO_AUDIT,
    b"/-/npm/v1/security/audits": NO_AUDIT,
}


def classify(method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Resource:
    """The resource that a request names; see `PackageProxyBase.classify`."""
    posted = raw_path in _POSTED
    if posted and method != "POST":
        raise MethodNotAllowed(f"{method[:20]} is not possible here")
    segments = read_segments("GET" if posted else method, _SCOPE_SLASH.sub(rb"\1@\2/", raw_path))
    if posted:
        return _forward("audit", raw_path[1:].decode(), _POSTED[raw_path])
    if segments[0] in ("", "-"):
        return _service(segments, query)
    size = 2 if segments[0].startswith("@") else 1
    name, rest = _name("/".join(segments[:size])), segments[size:]
    match rest:
        case []:
            return _packument(name, negotiation.representation(headers.get(b"accept")))
        case ["-", filename]:
            return _tarball(name, filename)
        case ["-", scope, filename] if name.startswith(scope + "/"):  # as some registries write them
            return _tarball(name, filename)
        case [spec] if names.is_spec(spec):
            return _index(names.version_identity(name, spec), name, "full", vary="Accept-Encoding")
    raise RouteNotFound("nothing is served at this address")


def artifact_resource(name: str, filename: str) -> Resource:
    """The resource of one tarball."""
    return Resource(
        protocol="npm",
        kind="artifact",
        identity=f"{name}/{ONE_FILE_ID}/{filename}",
        project=name,
        version=names.version_of(name, filename),
        file_id=ONE_FILE_ID,
        filename=filename,
        vary="",
        content_codings=("identity",),
    )


def _service(segments: list[str], query: bytes) -> Resource:
    """What a registry offers beside packages."""
    match segments:
        case [""] | ["-", "ping"]:
            return _forward("ping", "", b"{}")
        case ["-", "whoami"]:  # whoever Orchard is upstream, is not who the client is
            return _forward("whoami", "", b'{"username":"anonymous"}')
        case ["-", "v1", "search"]:
            if len(query) > MAX_QUERY_BYTES or _QUERY.fullmatch(query) is None:
                raise MalformedRequest("the query is too long or has a character that no query has")
            return _forward("search", f"-/v1/search?{query.decode()}", b"")
        case ["-", "package", *parts, "dist-tags"]:
            return _packument(_name("/".join(parts)), "dist-tags")
        case ["-", "npm", "v1", "keys"]:
            return _index("keys", "", "full", vary="Accept-Encoding", per_base_url=False)
        case ["-", "npm", "v1", "attestations", *parts]:
            name, _, version = "/".join(parts).rpartition("@")
            if not names.is_spec(version):
                raise MalformedRequest("attestations are those of name@version")
            identity = f"attestations/{_name(name)}@{version}"
            return _index(identity, name, "full", vary="Accept-Encoding", per_base_url=False)
    raise RouteNotFound("nothing is served at this address")


def _name(text: str) -> str:
    if not names.is_name(text):
        raise MalformedRequest("this cannot be a package's name")
    return text


def _packument(name: str, representation: str) -> Resource:
    return _index(names.packument_identity(name), name, representation, vary="Accept, Accept-Encoding")


def _tarball(name: str, filename: str) -> Resource:
    if not names.is_tarball(filename):
        raise RouteNotFound("no tarball has a name of this shape")
    return artifact_resource(name, filename)


def _index(
    identity: str, name: str, representation: str, *, vary: str, per_base_url: bool = True
) -> Resource:
    return Resource(
        protocol="npm",
        kind="index",
        identity=identity,
        project=name,
        representation=representation,
        per_base_url=per_base_url,
        vary=vary,
    )


def _forward(identity: str, path: str, fallback: bytes) -> Resource:
    return Resource(
        protocol="npm",
        kind="forward",
        identity=identity,
        vary="",
        forward_path=path,
        forward_fallback=fallback,
        content_codings=("identity",),
    )
