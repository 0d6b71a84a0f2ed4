"""One package of each protocol on a scripted registry that tells dates: what is listed, and where it lies."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import httpx

from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry, index_path
from tests.support.maven_builders import Repository
from tests.support.npm_builders import packument_path, publish, tarball_path
from tests.support.orchard import JSON, Cluster, cluster
from tests.support.upstream import Upstream

DAY = 86_400.0
OLD, YOUNG = 30 * DAY, 3600.0  # ages on either side of the rule
SIZE_BYTES = 300_000  # over what is waited for instead of being relayed

Ages = Mapping[str, float | None]
"""Version → its age in seconds by the upstream's date; None: the upstream tells none."""


def moment(age: float) -> str:
    """RFC 3339 of so many seconds ago."""
    return datetime.fromtimestamp(time.time() - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Shelf:
    """A package. `put` publishes these versions, in this order, and no others."""

    protocol: ClassVar[str]

    def __init__(self, orchard: Cluster, upstream: Upstream, name: str) -> None:
        self.orchard, self.upstream, self.name = orchard, upstream, name
        self.data: dict[str, bytes] = {}

    def put(self, ages: Ages) -> None:
        raise NotImplementedError

    @property
    def page(self) -> str:
        """The path of its list of versions here."""
        raise NotImplementedError

    def file(self, version: str) -> str:
        """The path of a version's file here, as a lock file may name it."""
        raise NotImplementedError

    def upstream_file(self, version: str) -> str:
        raise NotImplementedError

    def beside(self, version: str) -> tuple[str, ...]:
        """Paths of what tells of one version alone."""
        return ()

    def listed(self, body: str) -> list[str]:
        """The versions in a page."""
        raise NotImplementedError

    def newest(self, body: str) -> str:
        """What the page calls the newest; "" where pages call none so."""
        return ""

    # --- what tests ask ---------------------------------------------------------------------------

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.orchard.get(path, headers={"accept": JSON, **headers})

    def shown(self) -> list[str]:
        answer = self.get(self.page)
        assert answer.status_code == 200, answer.text
        return self.listed(answer.text)

    def asked(self, version: str) -> int:
        """Requests for a version's file that came to the registry."""
        return self.upstream.count(self.upstream_file(version))


class PyPI(Shelf):
    protocol = "pypi"

    def filename(self, version: str) -> str:
        return f"{self.name.replace('-', '_')}-{version}-py3-none-any.whl"

    def put(self, ages: Ages) -> None:
        for version in ages:
            if version not in self.data:
                self.data[version] = build_wheel(self.name, version, size_bytes=SIZE_BYTES)
        files = {self.filename(version): self.data[version] for version in ages}
        page = self.upstream.add_project(self.name, files)
        document: dict[str, Any] = json.loads(self.upstream.reply(page).body)
        for file, age in zip(document["files"], ages.values(), strict=True):
            if age is not None:
                file["upload-time"] = moment(age)
        reply = self.upstream.reply(page)
        self.upstream.put(page, replace(reply, body=json.dumps(document).encode()))
        newest = list(ages)[-1]
        legacy = {
            "info": {"name": self.name, "version": newest, "requires_dist": ["thing"]},
            "releases": {each: [self._legacy(each, age)] for each, age in ages.items()},
        }
        legacy["urls"] = legacy["releases"][newest]
        self.upstream.put(f"/pypi/{self.name}/json", json.dumps(legacy).encode(), "application/json")

    def _legacy(self, version: str, age: float | None) -> dict[str, Any]:
        data = self.data[version]
        file = {
            "filename": self.filename(version),
            "url": self.upstream.url + self.upstream_file(version),
            "digests": {"sha256": hashlib.sha256(data).hexdigest()},
        }
        return file if age is None else {**file, "upload_time_iso_8601": moment(age)}

    @property
    def page(self) -> str:
        return f"/pypi/simple/{self.name}/"

    def file(self, version: str) -> str:
        sha256 = hashlib.sha256(self.data[version]).hexdigest()
        return f"/pypi/files/{self.name}/{sha256}/{self.filename(version)}"

    def beside(self, version: str) -> tuple[str, ...]:
        return (f"{self.file(version)}.metadata",)

    def upstream_file(self, version: str) -> str:
        return f"/files/{self.name}/{self.filename(version)}"

    def listed(self, body: str) -> list[str]:
        page = json.loads(body)
        found = [each["filename"].split("-")[1] for each in page["files"]]
        assert set(page["versions"]) == set(found)
        return found


class Npm(Shelf):
    protocol = "npm"
    tags: Mapping[str, str] = {}

    def put(self, ages: Ages) -> None:
        time_ = {version: moment(age) for version, age in ages.items() if age is not None}
        versions: dict[str, dict[str, Any]] = {version: {} for version in ages}
        self.data = publish(
            self.upstream, self.name, versions, size_bytes=SIZE_BYTES, time=time_, tags=self.tags
        )

    @property
    def page(self) -> str:
        return f"/npm/{self.name}"

    def file(self, version: str) -> str:
        return f"/npm{tarball_path(self.name, version).removeprefix('/npm')}"

    def upstream_file(self, version: str) -> str:
        return tarball_path(self.name, version)

    def beside(self, version: str) -> tuple[str, ...]:
        return (f"/npm/{self.name}/{version}",)

    def listed(self, body: str) -> list[str]:
        return list(json.loads(body)["versions"])

    def newest(self, body: str) -> str:
        return str(json.loads(body)["dist-tags"].get("latest", ""))

    @property
    def upstream_page(self) -> str:
        return packument_path(self.name)


class Scoped(Npm):
    """npm, a name with a scope."""

    def __init__(self, orchard: Cluster, upstream: Upstream, name: str) -> None:
        super().__init__(orchard, upstream, f"@scope/{name}")


class Cargo(Shelf):
    protocol = "cargo"

    def __init__(self, orchard: Cluster, upstream: Upstream, name: str) -> None:
        super().__init__(orchard, upstream, name)
        self.registry = Registry(upstream)  # which says where crates are before there is one

    def put(self, ages: Ages) -> None:
        registry = self.registry
        registry.put_lines(self.name, [])
        for version, age in ages.items():
            dated = {} if age is None else {"pubtime": moment(age)}
            content = self.data.get(version)
            self.data[version] = registry.add(
                self.name, version, content=content, size_bytes=SIZE_BYTES, **dated
            )

    @property
    def page(self) -> str:
        return f"/cargo/{index_path(self.name)}"

    def file(self, version: str) -> str:
        return f"/cargo/dl/{self.name}/{version}/download"

    def upstream_file(self, version: str) -> str:
        return Registry.file(self.name, version)

    def listed(self, body: str) -> list[str]:
        return [json.loads(line)["vers"] for line in body.splitlines() if line]


class Maven(Shelf):
    protocol = "maven"

    def put(self, ages: Ages) -> None:
        repository = Repository(self.upstream)
        for version, age in ages.items():
            path = repository.add("org.example", self.name, version, size_bytes=SIZE_BYTES)
            for each in (path, path.replace(".jar", ".pom")):
                reply = self.upstream.reply(f"/maven/{each}")
                date = "" if age is None else formatdate(time.time() - age, usegmt=True)
                self.upstream.put(f"/maven/{each}", replace(reply, last_modified=date))
            self.data[version] = self.upstream.reply(f"/maven/{path}").body
        newest = list(ages.values())[-1]
        updated = "" if newest is None else moment(newest)
        digits = "".join(char for char in updated if char.isdigit())
        repository.add_metadata("org.example", self.name, list(ages), updated=digits)

    @property
    def page(self) -> str:
        return f"/maven/org/example/{self.name}/maven-metadata.xml"

    def file(self, version: str) -> str:
        return f"/maven/org/example/{self.name}/{version}/{self.name}-{version}.jar"

    def upstream_file(self, version: str) -> str:
        return self.file(version)

    def beside(self, version: str) -> tuple[str, ...]:
        file = self.file(version)
        return (f"{file}.sha1", file.replace(".jar", ".pom"))

    def listed(self, body: str) -> list[str]:
        return [each.text or "" for each in ElementTree.fromstring(body).iter("version")]

    def newest(self, body: str) -> str:
        root = ElementTree.fromstring(body)
        latest, release = root.findtext("versioning/latest") or "", root.findtext("versioning/release")
        assert latest == (release or "")
        return latest


SHELVES: dict[str, type[Shelf]] = {
    "pypi": PyPI,
    "npm": Npm,
    "npm, scoped": Scoped,
    "cargo": Cargo,
    "maven": Maven,
}

_numbers = itertools.count(1)

NewShelf = Callable[[str], Shelf]


def new_shelves(orchard: Cluster, upstream: Upstream) -> NewShelf:
    """What makes a new package of a kind."""
    return lambda kind: SHELVES[kind](orchard, upstream, f"thing-{next(_numbers)}")


def aged(folder: Path, upstream: Upstream, **settings: str) -> AbstractContextManager[Cluster]:
    """An Orchard with a minimum age of 7 days."""
    asked = {
        "ORCHARD_MINIMUM_AGE": "7d",
        "ORCHARD_CACHE_TTL_INDEX": "1",
        "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests",
        **settings,
    }
    return cluster(folder, upstream, **asked)
