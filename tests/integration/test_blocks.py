"""Blocks over two gateways: in force everywhere within seconds, in files, indexes, graphs and at ingest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.maven_builders import Repository
from tests.support.npm_builders import packument_path, publish
from tests.support.orchard import JSON, Cluster, Service, cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
ADMIN = {"authorization": "Bearer operators-token-of-tests"}
WITHIN = 5.0  # seconds


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(
        tmp_path_factory.mktemp("orchard"),
        upstream,
        gateways=2,
        with_postgres=True,
        ORCHARD_ADMIN_TOKEN=ADMIN["authorization"].split()[1],
    ) as running:
        yield running


def get(gateway: Service, path: str, **headers: str) -> httpx.Response:
    headers = {"accept": JSON, **headers}
    return httpx.get(gateway.base + path, headers=headers, timeout=30, trust_env=False)


def block(orchard: Cluster, **value: str) -> Callable[[], None]:
    """Blocks; the way to lift it comes back."""
    address = orchard.url("/api/v1/admin/blocks")
    made = httpx.post(address, json={"reason": "it steals", **value}, headers=ADMIN, trust_env=False)
    assert made.status_code == 201, made.text

    def lift() -> None:
        gone = httpx.delete(f"{address}/{made.json()['id']}", headers=ADMIN, trust_env=False)
        assert gone.status_code == 200, gone.text

    return lift


def everywhere(orchard: Cluster, path: str, right: Callable[[httpx.Response], bool], what: str) -> None:
    gateways = orchard.all_of("gateway")
    assert len(gateways) == 2
    wait_until(lambda: all(right(get(each, path)) for each in gateways), seconds=WITHIN, what=what)


def warm(orchard: Cluster, *paths: str) -> None:
    """Into the memory of both gateways, as hot as it gets."""
    for gateway in orchard.all_of("gateway"):
        for path in paths:
            for _ in range(3):
                assert get(gateway, path).status_code == 200, path


def is_blocked(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and "it steals" in answer.json()["detail"]


def filenames(answer: httpx.Response) -> list[str]:
    return [each["filename"] for each in answer.json()["files"]] if answer.status_code == 200 else ["?"]


def publish_wheels(upstream: Upstream, name: str, *versions: str) -> dict[str, bytes]:
    stem = name.replace("-", "_")
    wheels = {f"{stem}-{each}-py3-none-any.whl": build_wheel(name, each) for each in versions}
    upstream.add_project(name, wheels)
    return wheels


# --- PyPI -------------------------------------------------------------------------------------------------


def test_pypi_name__files_and_index_refused_and_back(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    (filename,) = publish_wheels(upstream, name, "1.0")
    page, file = f"/pypi/simple/{name}/", orchard.file_path(name, filename)
    warm(orchard, page, file)
    lift = block(orchard, protocol="pypi", name=name.upper().replace("-", "_"))
    for path in (page, file, file + ".metadata"):
        everywhere(orchard, path, is_blocked, f"the block of {path}")
    assert problem(get(orchard.gateway, file))["code"] == "blocked"
    head = httpx.head(orchard.url(file), trust_env=False)
    assert (head.status_code, head.content) == (403, b"")
    lift()
    for path in (page, file):
        everywhere(orchard, path, lambda answer: answer.status_code == 200, "the lifted block")


def test_pypi_version__gone_from_the_index_with_the_upstream_away(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    wheels = publish_wheels(upstream, name, "1.0", "2.0")
    old, new = wheels
    page = f"/pypi/simple/{name}/"
    paths = {filename: orchard.file_path(name, filename) for filename in wheels}
    warm(orchard, page, *paths.values())
    before = upstream.count(page.removeprefix("/pypi"))
    upstream.fault(page.removeprefix("/pypi"), Fault(status=503))
    lift = block(orchard, protocol="pypi", name=name, version="2.0.0")
    everywhere(orchard, page, lambda answer: filenames(answer) == [old], "the index without it")
    everywhere(orchard, paths[new], is_blocked, "the file's refusal")
    assert get(orchard.gateway, paths[old]).status_code == 200
    warm(orchard, page)  # finished pages are kept again
    assert "x-cache" in get(orchard.gateway, page).headers
    html = get(orchard.gateway, page, accept="text/html").text
    assert old in html and new not in html
    lift()
    everywhere(orchard, page, lambda answer: filenames(answer) == [old, new], "the version's return")
    assert upstream.count(page.removeprefix("/pypi")) == before  # nobody asked for any of it


def test_pypi_bytes__refused_under_every_name_and_gone_from_the_index(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    wheels = publish_wheels(upstream, name, "1.0", "2.0")
    old, new = wheels
    page, file = f"/pypi/simple/{name}/", orchard.file_path(name, new)
    warm(orchard, page, file)
    lift = block(orchard, sha256=hashlib.sha256(wheels[new]).hexdigest().upper())
    everywhere(orchard, page, lambda answer: filenames(answer) == [old], "the index without it")
    everywhere(orchard, file, is_blocked, "the file's refusal")
    lift()
    everywhere(orchard, page, lambda answer: filenames(answer) == [old, new], "its return")


def test_bytes_that_are_blocked_before_they_come__are_not_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    stem = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    wheel = build_wheel(name, "1.0")
    upstream.add_project(name, {stem: wheel}, hashes=())  # the index does not tell what they are
    lift = block(orchard, sha256=hashlib.sha256(wheel).hexdigest())
    file = orchard.file_path(name, stem)
    try:
        answer = get(orchard.gateway, file)
        assert is_blocked(answer), answer.text
    except httpx.RemoteProtocolError:
        pass  # it was relayed, and broken off before its end
    everywhere(orchard, file, is_blocked, "the refusal")
    assert "blocked_file_refused" in orchard.logs()
    lift()
    everywhere(orchard, file, lambda answer: answer.content == wheel, "the file")


# --- npm and Maven ----------------------------------------------------------------------------------------


def test_npm_version__gone_with_its_tag_and_refused(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = f"@corp/{project()}"
    publish(upstream, name, {"1.0.0": {}, "2.0.0": {}})
    page, old, new = (
        f"/npm/{name}",
        f"/npm/{name}/-/{name[6:]}-1.0.0.tgz",
        f"/npm/{name}/-/{name[6:]}-2.0.0.tgz",
    )
    warm(orchard, page, old, new)
    asked = upstream.count(packument_path(name))
    lift = block(orchard, protocol="npm", name=name, version="2.0.0")

    def without(answer: httpx.Response) -> bool:
        body = answer.json()
        return list(body.get("versions", ())) == ["1.0.0"] and body["dist-tags"] == {"latest": "1.0.0"}

    everywhere(orchard, page, without, "the packument without it")
    everywhere(orchard, new, is_blocked, "the tarball's refusal")
    refused = get(orchard.gateway, new).json()
    assert "it steals" in refused["error"]  # what npm shows
    for path in (f"/npm/{name}/2.0.0", f"/npm/{name}/latest"):
        answer = get(orchard.gateway, path)
        assert is_blocked(answer) if path.endswith("2.0.0") else answer.status_code in (200, 403)
    assert get(orchard.gateway, old).status_code == 200
    lift()
    everywhere(orchard, page, lambda answer: len(answer.json().get("versions", ())) == 2, "its return")
    assert upstream.count(packument_path(name)) == asked


def test_maven_version__gone_from_metadata_and_refused_with_its_checksums(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    repository, artifact = Repository(upstream), project()
    paths = [repository.add("org.example", artifact, version) for version in ("1.9", "1.10")]
    page = "/maven/" + repository.add_metadata("org.example", artifact, ["1.9", "1.10"])
    old, new = (f"/maven/{path}" for path in paths)
    folder = f"org/example/{artifact}/1.10"
    others = [
        "/maven/" + repository.put(f"{folder}/{name}", b"<x/>") for name in ("ivy-1.10.xml", "y-1.9.klib")
    ]
    warm(orchard, page, old, new, f"{new}.sha1", others[0])
    lift = block(orchard, protocol="maven", name=f"org.example:{artifact}", version="1.10")

    def without(answer: httpx.Response) -> bool:
        if answer.status_code != 200:
            return False
        texts = {each.tag: str(each.text) for each in ElementTree.fromstring(answer.content).iter()}
        return b"1.10" not in answer.content and texts["release"] == "1.9"

    everywhere(orchard, page, without, "the metadata without it")
    for path in (new, f"{new}.sha1", new.replace(".jar", ".pom"), *others, f"{others[0]}.sha1"):
        everywhere(orchard, path, is_blocked, f"the refusal of {path}")
    body = get(orchard.gateway, page).content
    assert get(orchard.gateway, f"{page}.sha1").text == hashlib.sha1(body).hexdigest()
    assert get(orchard.gateway, old).status_code == 200
    assert is_blocked(resolve(orchard, f"org.example:{artifact}:1.10", protocol="maven"))
    lift()
    everywhere(orchard, page, lambda answer: b"1.10" in answer.content, "its return")


# --- graphs -------------------------------------------------------------------------------------------------


def resolve(orchard: Cluster, requirement: str, **more: Any) -> httpx.Response:
    wanted = {"requirements": [requirement], **more}
    address = orchard.url("/api/v1/resolve")

    def done() -> httpx.Response:
        return httpx.post(address, json=wanted, headers=ADMIN, timeout=30, trust_env=False)

    answer = done()
    wait_until(lambda: answer.status_code != 202 or done().status_code != 202, seconds=30, what="the graph")
    return answer if answer.status_code != 202 else done()


def test_graph__does_not_choose_what_is_blocked_and_a_kept_one_is_withheld(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish_wheels(upstream, name, "1.0", "2.0")
    first = resolve(orchard, name)
    assert [each["version"] for each in first.json()["nodes"]] == ["2.0"], first.text
    lift = block(orchard, protocol="pypi", name=name, version="2.0")
    withheld = resolve(orchard, name)
    assert is_blocked(withheld), withheld.text
    assert "refresh=true" in withheld.json()["detail"]
    other = resolve(orchard, f"{name}>=1")
    assert [each["version"] for each in other.json()["nodes"]] == ["1.0"], other.text
    lift()
    again = resolve(orchard, name)
    assert again.content == first.content  # it was kept all the time


def test_graph__made_of_indexes_alone__does_not_choose_what_is_blocked(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}, "2.0.0": {}})
    lift = block(orchard, protocol="npm", name=name, version="2.0.0")
    found = resolve(orchard, f"{name}@>=1", protocol="npm")
    assert [each["version"] for each in found.json()["nodes"]] == ["1.0.0"], found.text
    lift()


def test_graph__of_a_root_that_is_blocked__is_refused_with_the_reason(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish_wheels(upstream, name, "1.0")
    lift = block(orchard, protocol="pypi", name=name)
    refused = resolve(orchard, name)
    assert is_blocked(refused), refused.text
    lift()
    answer = resolve(orchard, name)
    assert [each["version"] for each in answer.json()["nodes"]] == ["1.0"], answer.text


# --- what else ----------------------------------------------------------------------------------------------


def test_same_block_twice__conflict(orchard: Cluster, project: Names) -> None:
    name = project()
    lift = block(orchard, protocol="npm", name=name)
    address = orchard.url("/api/v1/admin/blocks")
    value = {"protocol": "npm", "name": name, "reason": "again"}
    again = httpx.post(address, json=value, headers=ADMIN, trust_env=False)
    assert (again.status_code, again.json()["detail"]) == (409, "this is blocked already")
    listed = httpx.get(address, headers=ADMIN, trust_env=False).json()["items"]
    entry = next(each for each in listed if each["name"] == name)
    assert (entry["reason"], entry["created_by"]) == ("it steals", "ORCHARD_ADMIN_TOKEN")
    lift()


def test_gateway_that_starts_without_postgres__knows_the_blocks(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish_wheels(upstream, name, "1.0")
    page = f"/pypi/simple/{name}/"
    warm(orchard, page)
    block(orchard, protocol="pypi", name=name)
    everywhere(orchard, page, is_blocked, "the block")
    orchard.postgres.stop()
    try:
        third = orchard.start("gateway")
        assert is_blocked(get(third, page))
        third.stop()
    finally:
        orchard.postgres.start()
