"""The grammar below /cargo: an index's own file, one file per crate, and crates by version.

`/config.json`, `/se/rd/serde` (The Cargo Book, "Registry Index"), `/dl/serde/1.0.0/download`, which is what
config.json leads to. Index files lie at one address alone, in lower case; crates are taken in any spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from shared.errors import MalformedRequest, RouteNotFound
from shared.errors.base import Problem
from shared.models import FileName
from shared.protocols.cargo import names
from shared.protocols.cargo.semver import parse_version
from shared.protocols.reading.raw_paths import read_segments
from shared.protocols.resource import Resource
from shared.protocols.roles.grammar import Grammar

DOWNLOADS = "dl"
LINES = "lines"
OPEN, CLOSED = "open", "closed"
"""The representations of config.json: for clients that send no token, and for those that do."""

_encode = msgspec.json.Encoder().encode


def classify(method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Resource:
    """The resource that a request names; see `Grammar.classify`."""
    segments = read_segments(method, raw_path)
    match segments:
        case [names.CONFIG]:
            # Cargo sends its token here only after a 401, or where it knows already that it must.
            return Resource(
                "cargo",
                "own",
                names.CONFIG,
                representation=CLOSED if headers.get(b"authorization") else OPEN,
                per_base_url=True,
                vary="Authorization",
                content_codings=("identity",),
            )
        case ["dl", crate, version, "download"]:
            if not names.is_name(crate) or parse_version(version) is None:
                raise MalformedRequest("crates lie at dl/{crate}/{version}/download")
            return _file(names.canonical(crate), version)
    crate = segments[-1]
    if not names.is_name(crate) or names.index_path(crate) != "/".join(segments):
        raise RouteNotFound("nothing lies at this address: a crate's index file is at one like se/rd/serde")
    return Resource(
        "cargo", "index", names.index_identity(crate), crate, representation=LINES, vary="Accept-Encoding"
    )


def _file(project: str, version: str) -> Resource:
    """The resource of one version's file."""
    file = FileName("cargo", project, version, names.filename(project, version))
    return Resource(
        "cargo",
        "artifact",
        file.identity,
        project,
        names.canonical_version(version),
        version,
        file.filename,
        vary="",
        content_codings=("identity",),
    )


class CargoGrammar(Grammar):
    """A sparse index, and the files that it leads to."""

    takes_bare_token: ClassVar[bool] = True

    classify = staticmethod(classify)
    index_identity = staticmethod(names.index_identity)
    project_of = staticmethod(names.project_of)

    def artifact_resource(self, file: FileName) -> Resource:
        return _file(file.project, file.file_id)

    def artifact_path(self, file: FileName) -> str:
        return f"/{DOWNLOADS}/{file.project}/{file.file_id}/download"

    def own_answer(self, resource: Resource, base_url: str) -> tuple[str, bytes]:
        # The Cargo Book, "Index Configuration".
        told = {"dl": f"{base_url}/{DOWNLOADS}"}
        closed = {"auth-required": True} if resource.representation == CLOSED else {}
        return "application/json", _encode({**told, **closed})

    def challenge(self, base_url: str) -> str:
        # RFC 3139. Cargo shows the address to whom it asks for a token.
        return f'Cargo login_url="{base_url.rpartition("/")[0]}/"' if base_url else 'Cargo realm="Orchard"'

    def error_body(self, problem: Problem) -> tuple[str, bytes]:
        # The Cargo Book, "Registry Web API". Cargo prints the whole body: it is short.
        told = {"status": problem.status, "code": problem.code, "request_id": problem.request_id}
        return "application/json", _encode({"errors": [{"detail": problem.reason}], **told})
