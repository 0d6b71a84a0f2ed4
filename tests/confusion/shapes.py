"""The protocols as the table needs them: how to publish, what to ask for, and whose word came back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry, build_crate, index_path
from tests.support.maven_builders import Repository, build_jar, build_metadata
from tests.support.npm_builders import (
    build_packument,
    build_tarball,
    integrity,
    packument_path,
    put_packument,
    tarball_path,
    version_path,
)
from tests.support.orchard import JSON
from tests.support.upstream import Reply, Upstream

GROUP = "com.corp"


@dataclass(frozen=True)
class Published:
    """What one source has of a project: bytes by version, and a text that only its page holds."""

    files: Mapping[str, bytes]
    mark: str


class Shape:
    """One protocol."""

    name: str
    accept = "*/*"
    prefix: str  # of the source's address
    may_be_empty = True  # whether a page that lists no files is a page

    def publish(self, server: Upstream, project: str, version: str, salt: int) -> Published:
        """A project with one version; another `salt` makes other bytes."""
        raise NotImplementedError

    def empty(self, server: Upstream, project: str) -> None:
        """A page that lists no files."""
        raise NotImplementedError

    def page(self, project: str) -> str:
        """The page at Orchard."""
        raise NotImplementedError

    def file(self, project: str, version: str, content: bytes) -> str:
        """The file at Orchard, as a lock file names it."""
        raise NotImplementedError

    def upstream_paths(self, project: str) -> list[str]:
        """All that a source is asked, for the page and the file, without the files of an index."""
        raise NotImplementedError


class Pypi(Shape):
    name, accept, prefix = "pypi", JSON, "/simple/"

    def publish(self, server: Upstream, project: str, version: str, salt: int) -> Published:
        wheel = build_wheel(project, version, requires=[f"salt=={salt}"])
        server.add_project(project, {self._filename(project, version): wheel})
        return Published({version: wheel}, hashlib.sha256(wheel).hexdigest())

    def empty(self, server: Upstream, project: str) -> None:
        server.add_project(project, {})

    def page(self, project: str) -> str:
        return f"/pypi/simple/{project}/"

    def file(self, project: str, version: str, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        return f"/pypi/files/{project}/{digest}/{self._filename(project, version)}"

    def upstream_paths(self, project: str) -> list[str]:
        return [f"/simple/{project}/"]

    def _filename(self, project: str, version: str) -> str:
        return f"{project.replace('-', '_')}-{version}-py3-none-any.whl"


class Npm(Shape):
    name, prefix = "npm", "/npm/"

    def publish(self, server: Upstream, project: str, version: str, salt: int) -> Published:
        tarball = build_tarball(project, version, manifest={"salt": salt})
        server.put(tarball_path(project, version), tarball)
        put_packument(server, build_packument(server.url, project, {version: tarball}))
        return Published({version: tarball}, integrity(tarball))

    def empty(self, server: Upstream, project: str) -> None:
        document = {"name": project, "dist-tags": {}, "versions": {}, "time": {}}
        server.put(packument_path(project), json.dumps(document).encode(), "application/json")

    def page(self, project: str) -> str:
        return f"/npm/{project}"

    def file(self, project: str, version: str, content: bytes) -> str:
        return f"/npm/{project}/-/{project}-{version}.tgz"

    def upstream_paths(self, project: str) -> list[str]:
        return [packument_path(project), *(version_path(project, each) for each in ("1.0.0", "9.0.0"))]


class Maven(Shape):
    name, prefix = "maven", "/maven/"

    def publish(self, server: Upstream, project: str, version: str, salt: int) -> Published:
        repository, updated = Repository(server), f"2024010112{salt:04d}"
        jar = build_jar(f"{project}-{salt}")
        repository.put(self._path(project, version), jar)
        repository.put(self._metadata(project), build_metadata(GROUP, project, [version], updated=updated))
        return Published({version: jar}, updated)

    def empty(self, server: Upstream, project: str) -> None:
        body = f"<metadata><groupId>{GROUP}</groupId><artifactId>{project}</artifactId></metadata>"
        server.put(f"/maven/{self._metadata(project)}", Reply(body.encode(), "application/xml"))

    def page(self, project: str) -> str:
        return f"/maven/{self._metadata(project)}"

    def file(self, project: str, version: str, content: bytes) -> str:
        return f"/maven/{self._path(project, version)}"

    def upstream_paths(self, project: str) -> list[str]:
        files = [self._path(project, version) for version in ("1.0.0", "9.0.0")]
        return [f"/maven/{path}" for path in (self._metadata(project), *files)]

    def _metadata(self, project: str) -> str:
        return f"{GROUP.replace('.', '/')}/{project}/maven-metadata.xml"

    def _path(self, project: str, version: str) -> str:
        return f"{GROUP.replace('.', '/')}/{project}/{version}/{project}-{version}.jar"


class Cargo(Shape):
    name, prefix = "cargo", "/cargo/"
    may_be_empty = False

    def publish(self, server: Upstream, project: str, version: str, salt: int) -> Published:
        crate = build_crate(project, version, manifest=f"# {salt}\n")
        registry = Registry(server)
        registry.put_lines(project, [])
        registry.add(project, version, content=crate)
        return Published({version: crate}, hashlib.sha256(crate).hexdigest())

    def empty(self, server: Upstream, project: str) -> None:
        Registry(server).put_lines(project, [])

    def page(self, project: str) -> str:
        return f"/cargo/{index_path(project)}"

    def file(self, project: str, version: str, content: bytes) -> str:
        return f"/cargo/dl/{project}/{version}/download"

    def upstream_paths(self, project: str) -> list[str]:
        return [f"/cargo/{index_path(project)}"]


SHAPES: tuple[Shape, ...] = (Pypi(), Npm(), Maven(), Cargo())
