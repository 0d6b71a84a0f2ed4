"""The grammar below /npm: from an undecoded path to the resource it names, or a refusal.

A scope's slash comes as "/", "%2f" or "%2F", in tarball addresses too: all are one resource. No
other encoded slash is taken. Everything is refused here, before any key, job or request upstream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.errors import MalformedRequest, RouteNotFound
from shared.protocols.npm import names, negotiation, services
from shared.protocols.raw_paths import read_segments
from shared.protocols.resource import Resource

ONE_FILE_ID = "-"  # an address holds no digest: a file is known by its name alone

_SCOPE_SLASH = re.compile(rb"(/)(?:@|%40)([A-Za-z0-9._~!'()*-]+)%2[fF]")


def classify(method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Resource:
    """The resource that a request names; see `PackageProxyBase.classify`."""
    if raw_path in services.POSTED:
        return services.posted(method, raw_path)
    segments = read_segments(method, _SCOPE_SLASH.sub(rb"\1@\2/", raw_path))
    match segments:
        case ["-", "package", *parts, "dist-tags"]:
            return _packument(_name("/".join(parts)), "dist-tags")
        case ["-", "npm", "v1", "attestations", *parts]:
            name, _, version = "/".join(parts).rpartition("@")
            if not names.is_spec(version):
                raise MalformedRequest("attestations are those of name@version")
            return _index(f"attestations/{_name(name)}@{version}", name)
        case ["-", "npm", "v1", "keys"]:
            return _index("keys", "")
        case [""]:
            return services.service(["ping"], b"")
        case ["-", *rest]:
            return services.service(rest, query)
    size = 2 if segments[0].startswith("@") else 1
    name = _name("/".join(segments[:size]))
    match segments[size:]:
        case []:
            return _packument(name, negotiation.representation(headers.get(b"accept")))
        case ["-", filename]:
            return _tarball(name, filename)
        case ["-", scope, filename] if name.startswith(scope + "/"):  # as some registries write them
            return _tarball(name, filename)
        case [spec] if names.is_spec(spec):
            return _index(names.version_identity(name, spec), name)
    raise RouteNotFound("nothing is served at this address")


def artifact_resource(name: str, filename: str) -> Resource:
    """The resource of one tarball."""
    identity, version = f"{name}/{ONE_FILE_ID}/{filename}", names.version_of(name, filename)
    return Resource(
        "npm",
        "artifact",
        identity,
        name,
        version,
        ONE_FILE_ID,
        filename,
        vary="",
        content_codings=("identity",),
    )


def _name(text: str) -> str:
    if not names.is_name(text):
        raise MalformedRequest("this cannot be a package's name")
    return text


def _tarball(name: str, filename: str) -> Resource:
    if not names.is_tarball(filename):
        raise RouteNotFound("no tarball has a name of this shape")
    return artifact_resource(name, filename)


def _packument(name: str, representation: str) -> Resource:
    return _index(names.packument_identity(name), name, representation, vary="Accept, Accept-Encoding")


def _index(identity: str, name: str, representation: str = "full", vary: str = "Accept-Encoding") -> Resource:
    per_base_url = names.has_addresses(identity)
    return Resource(
        "npm", "index", identity, name, representation=representation, per_base_url=per_base_url, vary=vary
    )
