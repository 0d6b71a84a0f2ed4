"""Maven's snapshots: what stands at an address for the newest build is as old as that, and the build before
is served as long as the newest may not be."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from tests.firewall.shelves import DAY, OLD, YOUNG, moment
from tests.support.maven_builders import Repository, build_jar, build_pom
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Upstream

_numbers = itertools.count(1)
VERSION = "1.0-SNAPSHOT"


class Snapshot:
    """One artifact with one snapshot version, its files without timestamps."""

    def __init__(self, orchard: Cluster, upstream: Upstream) -> None:
        self.orchard, self.upstream = orchard, upstream
        self.name = f"snap-{next(_numbers)}"
        self.folder = f"/maven/org/example/{self.name}/{VERSION}"
        self.repository = Repository(upstream)

    def path(self, extension: str) -> str:
        return f"{self.folder}/{self.name}-{VERSION}.{extension}"

    def put(self, build: int, age: float) -> None:
        """Deploy a build, `age` seconds ago."""
        digits = "".join(char for char in moment(age) if char.isdigit())
        date = formatdate(time.time() - age, usegmt=True)
        value = f"1.0-{digits[:8]}.{digits[8:]}-{build}"
        metadata = (
            f"<metadata><groupId>org.example</groupId><artifactId>{self.name}</artifactId>"
            f"<version>{VERSION}</version><versioning><lastUpdated>{digits}</lastUpdated><snapshotVersions>"
            f"<snapshotVersion><extension>jar</extension><value>{value}</value></snapshotVersion>"
            "</snapshotVersions></versioning></metadata>"
        )
        pom = build_pom("org.example", self.name, VERSION) + f"<!-- {build} -->".encode()
        files = {
            self.path("pom"): pom,
            self.path("jar"): build_jar(f"build {build}", size_bytes=3000),
            f"{self.folder}/maven-metadata.xml": metadata.encode(),
        }
        for path, body in files.items():
            self.repository.put(path.removeprefix("/maven/"), body, checksums=())
            self.upstream.put(path, replace(self.upstream.reply(path), last_modified=date))
        self.repository.add_metadata("org.example", self.name, [VERSION], updated=digits)

    def get(self, path: str) -> tuple[int, bytes]:
        answer = self.orchard.get(path)
        return answer.status_code, answer.content


@pytest.fixture
def snapshot(orchard: Cluster, upstream: Upstream) -> Snapshot:
    return Snapshot(orchard, upstream)


WHAT = ("pom", "jar", "metadata")


def path_of(it: Snapshot, what: str) -> str:
    return f"{it.folder}/maven-metadata.xml" if what == "metadata" else it.path(what)


@pytest.mark.parametrize("what", WHAT)
def test_young_build__is_refused(snapshot: Snapshot, what: str) -> None:
    snapshot.put(1, YOUNG)
    path = path_of(snapshot, what)
    for _ in range(2):
        assert snapshot.get(path)[0] == 403
    assert snapshot.get(f"{path}.sha1")[0] == 403


@pytest.mark.parametrize("what", WHAT)
def test_old_build__then_a_young_one__the_old_one_is_served_on(snapshot: Snapshot, what: str) -> None:
    snapshot.put(1, OLD)
    path = path_of(snapshot, what)
    status, before = snapshot.get(path)
    assert status == 200 and (b"1" in before)
    asked = snapshot.upstream.count(path)
    snapshot.put(2, YOUNG)
    wait_until(
        lambda: snapshot.get(path)[0] == 200 and snapshot.upstream.count(path) > asked + 1,
        what="two looks at the upstream",
    )
    assert snapshot.get(path) == (200, before)


def test_backdated_build__is_no_older_than_the_one_before(snapshot: Snapshot) -> None:
    snapshot.put(1, OLD)
    _, before = snapshot.get(snapshot.path("pom"))
    asked = snapshot.upstream.count(snapshot.path("pom"))
    snapshot.put(2, OLD - DAY)
    wait_until(
        lambda: (
            snapshot.get(snapshot.path("pom"))[0] == 200
            and snapshot.upstream.count(snapshot.path("pom")) > asked + 1
        ),
        what="two looks at the upstream",
    )
    assert snapshot.get(snapshot.path("pom")) == (200, before)
