"""Maven: the first repository that has a project has all of it, until an operator says otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest

from tests.support.maven_builders import Repository, build_jar, build_pom
from tests.support.orchard import Cluster, cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

_numbers = itertools.count(1)
ADMIN = "operators-token-of-tests"
BEARER = {"authorization": f"Bearer {ADMIN}"}


@pytest.fixture(scope="module")
def second() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, second: Upstream
) -> Iterator[Cluster]:
    with cluster(
        tmp_path_factory.mktemp("orchard"),
        upstream,
        extractors=0,
        ORCHARD_MAVEN_UPSTREAM=f"{upstream.url}/maven/,{second.url}/maven/",
        ORCHARD_CACHE_TTL_INDEX="1",
        ORCHARD_CACHE_TTL_NEGATIVE="1",
        ORCHARD_ADMIN_TOKEN=ADMIN,
        ORCHARD_ANONYMOUS_READ="true",
    ) as running:
        yield running


@pytest.fixture
def artifact() -> str:
    return f"lib{next(_numbers)}"


def _admin(orchard: Cluster, method: str, path: str, body: object = None) -> httpx.Response:
    url = orchard.url(f"/api/v1/admin/{path}")
    answer = httpx.request(method, url, json=body, headers=BEARER, timeout=30, trust_env=False)
    assert answer.is_success, answer.text
    return answer


def _source(orchard: Cluster, nth: int) -> dict[str, object]:
    return dict(_admin(orchard, "GET", "upstreams?protocol=maven").json()["items"][nth])


def test_higher_version_of_a_stranger__neither_listed_nor_served_nor_spoken_for_while_the_owner_fails(
    orchard: Cluster, upstream: Upstream, second: Upstream, artifact: str
) -> None:
    private, public = Repository(upstream), Repository(second)
    private.add("com.corp", artifact, "1.0")
    page = "/maven/" + private.add_metadata("com.corp", artifact, ["1.0"])
    stranger = "/maven/" + public.add("com.corp", artifact, "99.0")
    public.add_metadata("com.corp", artifact, ["99.0"])
    assert orchard.get(stranger).status_code == 404  # a lock file's request, before anything was seen
    assert "99.0" not in orchard.get(page).text
    upstream.fault(page, Fault(status=503))
    wait_until(lambda: orchard.get(page).headers.get("x-cache") == "STALE", what="the last good page")
    assert "99.0" not in orchard.get(page).text
    upstream.heal()
    (pin,) = _admin(orchard, "GET", f"pins?protocol=maven&prefix=com.corp:{artifact}").json()["items"]
    assert pin["sources"] == ["maven"]


@pytest.mark.parametrize("name", ["ivy-9.xml", "other-1.jar", "{}-1.0.pom", "x.klib"])
def test_file_of_another_name__from_the_owner_of_its_folders_project_alone(
    orchard: Cluster, upstream: Upstream, second: Upstream, artifact: str, name: str
) -> None:
    Repository(upstream).add_metadata("com.corp", f"{artifact}_2.12", ["1.0"])
    place = f"com/corp/{artifact}_2.12/9/{name.format(artifact)}"
    jar = name.endswith("jar")
    strange, own = (
        build_jar(each) if jar else build_pom("com.corp", artifact, each) for each in ("strange", "own")
    )
    path = "/maven/" + Repository(second).put(place, strange)
    assert orchard.get(path).status_code == 404
    Repository(upstream).put(place, own)
    wait_until(lambda: orchard.get(path).content == own, what="the owner's file")


def test_jar_only_in_the_second__404_says_whose_it_is__both_may_be_asked_once_the_operator_says_so(
    orchard: Cluster, upstream: Upstream, second: Upstream, artifact: str
) -> None:
    stem = f"javax/media/{artifact}/1.0/{artifact}-1.0"
    Repository(upstream).put(f"{stem}.pom", build_pom("javax.media", artifact, "1.0"))
    jar = build_jar("in the second alone")
    Repository(second).put(f"{stem}.jar", jar)
    assert orchard.get(f"/maven/{stem}.pom").status_code == 200
    for _ in range(2):  # the fetcher's word, and the kept one
        answer = orchard.get(f"/maven/{stem}.jar")
        assert answer.status_code == 404
        told = problem(answer)["detail"]
        assert f"`orchard pins set maven javax.media:{artifact} maven maven-2`" in told
    path = f"pins/maven/javax.media:{artifact}"
    _admin(orchard, "PUT", path, {"sources": ["maven", "maven-2"]})
    wait_until(lambda: orchard.get(f"/maven/{stem}.jar").content == jar, what="the second's jar")
    (pin,) = _admin(orchard, "GET", f"pins?protocol=maven&prefix=javax.media:{artifact}").json()["items"]
    assert pin["sources"] == ["maven", "maven-2"]


def test_owner_paused__403_names_the_command__the_other_once_it_is_let_go(
    orchard: Cluster, upstream: Upstream, second: Upstream, artifact: str
) -> None:
    jar = Repository(second).add("com.corp", artifact, "1.0")
    pom = Repository(upstream).put(jar[:-3] + "pom", build_pom("com.corp", artifact, "1.0"))
    assert orchard.get(f"/maven/{pom}").status_code == 200
    first = _source(orchard, 0)
    _admin(orchard, "PATCH", f"upstreams/{first['id']}", {"enabled": False})
    try:
        wait_until(lambda: orchard.get(f"/maven/{jar}").status_code == 403, what="the pause")
        assert (
            f"`orchard pins remove maven com.corp:{artifact}`"
            in problem(orchard.get(f"/maven/{jar}"))["detail"]
        )
        _admin(orchard, "DELETE", f"pins/maven/com.corp:{artifact}")
        assert orchard.get(f"/maven/{jar}").status_code == 200
    finally:
        _admin(orchard, "PATCH", f"upstreams/{first['id']}", {"enabled": True})


def test_groups_pin__binds_all_its_projects(
    orchard: Cluster, upstream: Upstream, second: Upstream, artifact: str
) -> None:
    group = f"com.group{artifact}"
    jar = Repository(second).add(group, artifact, "1.0")
    Repository(upstream).add(group, artifact, "1.0")
    _admin(orchard, "PUT", f"pins/maven/{group}:*", {"sources": ["maven-2"]})
    assert orchard.get(f"/maven/{jar}").status_code == 200
    assert upstream.count(f"/maven/{jar}") == 0


def test_metadata_of_a_group__pins_nothing(
    orchard: Cluster, upstream: Upstream, second: Upstream, artifact: str
) -> None:
    body = b"<metadata><plugins><plugin><prefix>x</prefix></plugin></plugins></metadata>"
    path = f"com/plugins/{artifact}/maven-metadata.xml"
    Repository(second).put(path, body)
    assert orchard.get(f"/maven/{path}").content == body
    assert _admin(orchard, "GET", f"pins?protocol=maven&prefix=com.plugins:{artifact}").json()["items"] == []
