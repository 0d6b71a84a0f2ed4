"""The grammar below /npm: from an undecoded path to the resource it names, or a refusal.

A scope's slash comes as "/", "%2f" or "%2F", in tarball addresses too: all are one resource. No other encoded
slash is taken but a tag's. Everything is refused here, before any key, job or request upstream.

Clients drop, double or prepend the path of a registry that does not lie at its host's root, and they carry
the paths of other registries in lock files: the tail of a tarball's address is enough, whatever stands before
it, and slashes too many are none. Some addresses are made at the root of the host although the registry lies
below a path: pacote resolves the path of a tarball's address, and of attestations, against the registry's
host alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.errors import MalformedRequest, RouteNotFound
from shared.errors.base import Problem, problem_body
from shared.models import FileName
from shared.protocols.npm import blocking, forwarding, names, negotiation
from shared.protocols.npm.semver import parse_version
from shared.protocols.reading.raw_paths import read_segments
from shared.protocols.resource import Resource
from shared.protocols.roles.grammar import Grammar

_ROOT_RELATIVE = re.compile(
    rb"/-/+npm/+v1/+(?:keys|(?:attestations|security)/.*)"
    rb"|/.*/(?:-|download)/+(?:(?:@|%40)[^/]*(?:/+|%2[fF]))?[^/]+\.tgz"
    rb"|/(?:.*[/fF])?([^/%]+)/+([^/]+)/+\1-\2\.tgz"
    rb"|/(?:.*/)?download/+(?:@|%40)[^/]+/+[^/]+/+[0-9][^/]*/+(?:[0-9a-f]{40}|[0-9a-f]{64})"
)


def is_root_relative(raw_path: bytes) -> bool:
    """Whether a path from a host's root can be nothing but npm's: `classify` then reads it as it is."""
    return _ROOT_RELATIVE.fullmatch(raw_path) is not None


_SCOPE_SLASH = re.compile(rb"(/)(?:@|%40)([A-Za-z0-9._~!'()*-]+)%2[fF]")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SLASHES = re.compile(rb"//+")
# A tag with a slash in it, after a name with or without a scope.
_TAG_SLASH = re.compile(rb"(/(?:@[^/%]+/)?[^/@%]+)/([^/]*%2[fF][^/]*)")
_FILES_BELOW = ("-", "download")  # between a package and its tarballs; "download": cnpm's of before


def classify(method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Resource:
    """The resource that a request names; see `Grammar.classify`."""
    raw_path = _SLASHES.sub(b"/", raw_path)
    if raw_path in forwarding.POSTED:
        return forwarding.posted(method, raw_path)
    raw_path = _SCOPE_SLASH.sub(rb"\1@\2/", raw_path)
    tagged = _TAG_SLASH.fullmatch(raw_path)
    if tagged is not None:
        raw_path = tagged[1] + b"/" + tagged[2].replace(b"%2f", b"/").replace(b"%2F", b"/")
    segments = read_segments(method, raw_path)
    if len(segments) > 1 and not segments[-1]:
        segments.pop()
    if tagged is not None:
        return _of_package(segments[: _size(segments)], ["/".join(segments[_size(segments) :])], headers)
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
            return forwarding.service(["ping"], b"")
        case ["-"]:
            return _of_package(segments, [], headers)
        case ["-", spec] if parse_version(spec) or spec == "latest":
            return _of_package(segments[:1], [spec], headers)
        case ["-", *rest] if tarball_at(segments) is None:
            return forwarding.service(rest, query)
    size = _size(segments)
    return _of_package(segments[:size], segments[size:], headers)


def _size(segments: list[str]) -> int:
    """How many segments a package's name has."""
    return 2 if segments[0].startswith("@") else 1


def _of_package(parts: list[str], rest: list[str], headers: Mapping[bytes, bytes]) -> Resource:
    match rest:
        case []:
            return _packument(_name("/".join(parts)), negotiation.representation(headers.get(b"accept")))
        case [spec] if names.is_version_or_tag(spec):
            name = _name("/".join(parts))
            return _index(names.version_identity(name, spec), name)
    found = tarball_at([*parts, *rest])
    if found is not None:
        return artifact_resource(FileName("npm", _name(found[0]), names.ONE_FILE_ID, found[1]))
    _name("/".join(parts))
    raise RouteNotFound("nothing is served at this address")


def tarball_at(segments: list[str]) -> tuple[str, str] | None:
    """Name and file name of the tarball at the end of a path; None if there is none.

    `…/name/-/file`, `…/@scope/name/-/file` and, as some registries write them, `…/@scope/name/-/@scope/file`.
    Stores of some have neither: `…/name/1.0.0/name-1.0.0.tgz`, `…/download/@scope/name/1.0.0/{digest}`.
    """
    *before, filename = segments
    if len(before) > 1 and parse_version(before[-1]):
        return _tarball_of(before, filename)
    if not names.is_tarball(filename):
        return None
    if len(before) > 3 and before[-1].startswith("@") and before[-4] == before[-1]:
        before.pop()
    if len(before) < 2 or before[-1] not in _FILES_BELOW:
        return None
    name = before[-2]
    if before[-1] != "-" and not filename.startswith(name):
        return None
    if len(before) > 2 and before[-3].startswith("@"):
        name = f"{before[-3]}/{name}"
    return name, filename


def _tarball_of(before: list[str], filename: str) -> tuple[str, str] | None:
    *folders, name, version = before
    usual = names.tarball_name(name, version)
    scope = folders[-1] if folders and folders[-1].startswith("@") else ""
    by_digest = scope and "download" in folders and _DIGEST.fullmatch(filename)
    if not names.is_tarball(usual) or (filename != usual and not by_digest):
        return None
    return (f"{scope}/{name}" if scope else name), usual


def artifact_resource(file: FileName) -> Resource:
    """The resource of one tarball."""
    return Resource(
        "npm",
        "artifact",
        file.identity,
        file.project,
        names.version_of(file.project, file.filename),
        file.file_id,
        file.filename,
        vary="",
        content_codings=("identity",),
    )


def _name(text: str) -> str:
    if not names.is_name(text):
        raise MalformedRequest("this cannot be a package's name")
    return text


def _packument(name: str, representation: str) -> Resource:
    return _index(names.packument_identity(name), name, representation, vary="Accept, Accept-Encoding")


def _index(identity: str, name: str, representation: str = "full", vary: str = "Accept-Encoding") -> Resource:
    per_base_url = names.has_addresses(identity)
    return Resource(
        "npm", "index", identity, name, representation=representation, per_base_url=per_base_url, vary=vary
    )


class NpmGrammar(Grammar):
    """Packuments in both forms, version documents, tarballs, and a registry's services."""

    classify = staticmethod(classify)
    is_root_relative = staticmethod(is_root_relative)
    index_identity = staticmethod(names.packument_identity)
    noun_of = staticmethod(names.noun_of)
    artifact_resource = staticmethod(artifact_resource)
    version_asked = staticmethod(blocking.version_asked)

    def project_of(self, identity: str) -> str:
        return names.split_identity(identity)[1]

    def artifact_path(self, file: FileName) -> str:
        return f"/{file.project}/-/{file.filename}"

    def error_body(self, problem: Problem) -> tuple[str, bytes]:
        # What npm, pnpm and yarn print. Tools that publish look for "not found" in it, as registries say it.
        start = "not found: " if problem.status == 404 else ""
        return problem_body(problem, {"error": start + problem.reason})
