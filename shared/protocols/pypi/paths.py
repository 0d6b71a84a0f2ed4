"""The grammar below /pypi: from an undecoded path to the resource it names, or a refusal.

Everything is refused here, before any key, job or request upstream.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.digests import is_sha256
from shared.errors import MalformedRequest, RouteNotFound
from shared.models import FileName
from shared.protocols.pypi import blocking, names, negotiation
from shared.protocols.reading.raw_paths import read_segments
from shared.protocols.resource import Redirect, Resource
from shared.protocols.roles.grammar import Grammar


def classify(
    method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
) -> Resource | Redirect:
    """The resource or redirect that a request names; see `Grammar.classify`."""
    segments = read_segments(method, raw_path)
    match segments:
        case ["simple"]:
            return Redirect("simple/" + negotiation.format_query(query))
        case ["simple", ""]:
            return _simple(names.ROOT, "", query, headers)
        case ["simple", name] | ["simple", name, ""]:
            return _project(name, len(segments) == 3, query, headers)
        case ["files", project, file_id, filename]:
            return _file(project, file_id, filename)
        case ["pypi", name, "json"] | ["pypi", name, "json", ""]:
            return _legacy(name, "", len(segments) - 2)
        case ["pypi", name, version, "json"] | ["pypi", name, version, "json", ""]:
            return _legacy(name, version, len(segments) - 2)
    raise RouteNotFound("nothing is served at this address")


def artifact_resource(file: FileName) -> Resource:
    """The resource of one file. Its URL promises a digest only if the id is one, and only of the
    distribution itself: metadata and signatures live under their parent's id."""
    is_parent = names.parent_file(file.filename)[1] == ""
    return Resource(
        protocol="pypi",
        kind="artifact",
        identity=file.identity,
        project=file.project,
        file_id=file.file_id,
        filename=file.filename,
        sha256=file.file_id if is_parent and is_sha256(file.file_id) else "",
        vary="",
        content_codings=("identity",),
    )


def _project(name: str, has_slash: bool, query: bytes, headers: Mapping[bytes, bytes]) -> Resource | Redirect:
    project = _normalised(name)
    if has_slash and project == name:
        return _simple(names.simple_identity(project), project, query, headers)
    up = "../" if has_slash else ""
    return Redirect(f"{up}{project}/{negotiation.format_query(query)}")


def _simple(identity: str, project: str, query: bytes, headers: Mapping[bytes, bytes]) -> Resource:
    representation, content_type = negotiation.negotiate(headers.get(b"accept"), query)
    return Resource(
        protocol="pypi",
        kind="index",
        identity=identity,
        project=project,
        representation=representation,
        content_type=content_type,
    )


def _legacy(name: str, version: str, depth: int) -> Resource | Redirect:
    project = _normalised(name)
    if version and not names.is_version(version):
        raise MalformedRequest("this cannot be a version")
    has_slash = depth == (3 if version else 2)
    if project != name or has_slash:
        tail = f"{project}/{version}/json" if version else f"{project}/json"
        return Redirect("../" * depth + tail)
    return Resource(
        protocol="pypi",
        kind="index",
        identity=names.json_identity(project, version),
        project=project,
        version=version,
        representation="json",
        content_type="application/json",
        per_base_url=True,
        vary="Accept-Encoding",
    )


def _file(project: str, file_id: str, filename: str) -> Resource:
    if not names.is_project(project):
        raise MalformedRequest("this cannot be a project's name")
    if not names.is_normalised(project):
        raise RouteNotFound("file addresses hold the normalised project name")
    if not (is_sha256(file_id) or names.is_stable_id(file_id)):
        raise RouteNotFound("this is no file id")
    if len(filename) > names.MAX_FILENAME_CHARACTERS + 9:
        raise MalformedRequest("the file name is too long")
    if not names.is_served_file(filename):
        raise RouteNotFound("no package file has a name of this shape")
    return artifact_resource(FileName("pypi", project, file_id, filename))


def _normalised(name: str) -> str:
    if not names.is_project(name):
        raise MalformedRequest("this cannot be a project's name")
    return names.normalise(name)


def artifact_path(file: FileName) -> str:
    """Where a file is served, below /pypi."""
    return f"/files/{file.identity}"


def project_of(identity: str) -> str:
    """The project of an index identity."""
    return names.split_identity(identity)[1]


def noun_of(identity: str) -> str:
    """What a person calls it."""
    _, project, version = names.split_identity(identity)
    if not project:
        return "a list of all projects"
    return f"version {version} of {project}" if version else project


def version_asked(resource: Resource) -> str:
    """The canonical version that a request names, "" where it names none."""
    if resource.kind == "artifact":
        return blocking.file_version(resource.project, resource.filename)
    return names.canonical_version(resource.version) if resource.version else ""


class PyPIGrammar(Grammar):
    """Simple pages (PEP 503, PEP 691), the legacy JSON API, files with their metadata and signatures."""

    classify = staticmethod(classify)
    index_identity = staticmethod(names.simple_identity)
    project_of = staticmethod(project_of)
    noun_of = staticmethod(noun_of)
    artifact_resource = staticmethod(artifact_resource)
    artifact_path = staticmethod(artifact_path)
    version_asked = staticmethod(version_asked)

    def gives_file(self, resource: Resource) -> bool:
        return resource.kind == "artifact" and not names.parent_file(resource.filename)[1]
