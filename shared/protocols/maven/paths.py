"""The grammar below /maven, the repository layout: from an undecoded path to the resource it names.

"{group as folders}/{artifact}/{version}/{artifact}-{version}[-{classifier}].{extension}", beside it
checksums and files of other names (`names.is_guest`); maven-metadata.xml in the folders of groups, artifacts
and snapshot versions; archetype-catalog.xml at the root. Everything else is refused here, before any key, job
or request upstream.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import FileNotFound, ProjectNotFound, RouteNotFound
from shared.errors.base import Problem, problem_body
from shared.http.conditions import CODINGS
from shared.models import FileName
from shared.protocols.maven import blocking, names
from shared.protocols.reading.raw_paths import read_segments
from shared.protocols.resource import Resource
from shared.protocols.roles.grammar import Grammar

_ABSENCES = frozenset(each.code for each in (FileNotFound, ProjectNotFound, RouteNotFound))

METADATA_KIND, FILE_KIND, POINTER_KIND = "metadata", "snapshot", "pointer"


def classify(method: str, raw_path: bytes) -> Resource:
    """The resource that a request names; see `Grammar.classify`."""
    *folders, name = read_segments(method, raw_path)
    filename, checksum = names.split_checksum(name)
    if not folders and filename == names.CATALOG:
        return _index(f"{FILE_KIND}/{filename}", checksum or "file")
    if not name or not folders or names.split_checksum(filename)[1]:
        raise RouteNotFound("nothing is served at this address: no folders, no checksums of checksums")
    if filename == names.METADATA:
        if not _is_metadata_folder(folders):
            raise RouteNotFound("no metadata has an address of this shape")
        return _index(f"{METADATA_KIND}/{'/'.join(folders)}", checksum or "xml")
    if len(folders) < 3:
        raise RouteNotFound("a file lies in the folder of its version")
    *group, artifact, version = folders
    if not (all(map(names.is_group_segment, group)) and names.is_artifact(artifact)):
        raise RouteNotFound("this cannot be the folder of an artifact")
    if not (names.is_version(version) and names.is_filename(filename)):
        raise RouteNotFound("this cannot be a version and a file's name")
    if not names.belongs(artifact, version, filename) and not names.is_guest(folders, filename):
        raise RouteNotFound("this is not a file in the folder of a version")
    path = f"{'/'.join(folders)}/{filename}"
    mutable = names.is_mutable(version, filename)
    if mutable and names.is_document(filename):
        return _index(f"{FILE_KIND}/{path}", checksum or "file")
    pointer = f"{POINTER_KIND}/{path}" if mutable else ""
    file = FileName("maven", f"{'.'.join(group)}:{artifact}", version, filename)
    return artifact_resource(file, checksum, pointer)


def artifact_resource(file: FileName, checksum: str = "", pointer: str = "") -> Resource:
    """The resource of a file, or of one of its checksums. The file id is the version's folder; for a file
    that may change, also which one it is (`split_file_id`)."""
    return Resource(
        protocol="maven",
        kind="artifact",
        identity=file.identity,
        project=file.project,
        version=split_file_id(file.file_id)[0],
        file_id=file.file_id,
        filename=file.filename,
        sidecar=checksum,
        direct=True,
        honours_no_cache=False,
        vary="",
        pointer=pointer,
        content_codings=("identity",),
    )


def split_file_id(file_id: str) -> tuple[str, str]:
    """The version's folder, and which of the files that were at one address; "" where it is one for ever."""
    version, _, which = file_id.partition(":")
    return version, which


def project_of(identity: str) -> str:
    """ "{groupId}:{artifactId}" of an index identity.

    The folder of a group looks like that of an artifact: its last segment then stands as the artifact.
    """
    kind, _, path = identity.partition("/")
    folders = path.split("/")
    if kind in (FILE_KIND, POINTER_KIND):
        folders = folders[:-2]
    elif folders[-1].endswith(names.SNAPSHOT) and len(folders) > 2:
        folders = folders[:-1]
    return f"{'.'.join(folders[:-1])}:{folders[-1]}" if len(folders) > 1 else ""


def noun_of(identity: str) -> str:
    """An index in words for people: its path in a repository."""
    kind, _, path = identity.partition("/")
    return f"{path}/{names.METADATA}" if kind == METADATA_KIND else path


def metadata_identity(project: str) -> str:
    """The identity of the metadata that lists a project's versions."""
    group, _, artifact = project.partition(":")
    return f"{METADATA_KIND}/{group.replace('.', '/')}/{artifact}"


def _is_metadata_folder(folders: list[str]) -> bool:
    *upper, last = folders
    if last.endswith(names.SNAPSHOT) and len(upper) > 1:
        *upper, artifact = upper
        return names.is_version(last) and names.is_artifact(artifact) and _is_group(upper)
    return names.is_artifact(last) and _is_group(upper)


def _is_group(folders: list[str]) -> bool:
    return all(map(names.is_group_segment, folders))


def _index(identity: str, representation: str) -> Resource:
    return Resource(
        protocol="maven",
        kind="index",
        identity=identity,
        project=project_of(identity),
        representation=representation,
        honours_no_cache=False,  # Maven's clients send no-cache with every request
        vary="Accept-Encoding" if representation == "xml" else "",
        content_codings=CODINGS if representation == "xml" else ("identity",),
    )


class MavenGrammar(Grammar):
    """The repository layout, its metadata and its checksum files."""

    index_identity = staticmethod(metadata_identity)
    project_of = staticmethod(project_of)
    noun_of = staticmethod(noun_of)
    artifact_resource = staticmethod(artifact_resource)
    version_asked = staticmethod(blocking.version_asked)

    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource:
        return classify(method, raw_path)

    def digest_headers(self, digests: Mapping[str, str]) -> dict[str, str]:
        """A client that finds one of these does not ask for a checksum file (Maven Resolver, "smart
        checksums")."""
        return {f"{names.CHECKSUM_HEADER}{name}": digest for name, digest in digests.items()}

    def artifact_path(self, file: FileName) -> str:
        group, _, artifact = file.project.partition(":")
        return f"/{group.replace('.', '/')}/{artifact}/{split_file_id(file.file_id)[0]}/{file.filename}"

    def error_body(self, problem: Problem) -> tuple[str, bytes]:
        # Maven 3.9 and 4 fail at any problem document, whatever its status, and print it; what is only said
        # to be absent they go on without (an optional POM, another repository), as from any repository.
        kind, body = problem_body(problem)
        return "application/json" if problem.code in _ABSENCES else kind, body
