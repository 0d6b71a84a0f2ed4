"""Events have a reader, and a changed file is taken when an operator accepts it: not before, and for good."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from shared.cache.service import CacheService
from shared.models import FileName, StoredFile
from shared.redis.client import RedisClient
from shared.settings import Settings
from tests.services.cli.conftest import Command
from tests.support import npm_builders
from tests.support.builders import build_wheel
from tests.support.maven_builders import Repository, build_jar
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.stores import address_of
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
TOKEN = "an-operators-token"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": TOKEN, "ORCHARD_ANONYMOUS_READ": "true"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def admin(orchard: Cluster, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx.request(method, orchard.url(path), headers=headers, timeout=30, trust_env=False, **options)


def events(orchard: Cluster, **query: Any) -> list[dict[str, Any]]:
    answer = admin(orchard, "GET", "/api/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def accept(orchard: Cluster, event: dict[str, Any]) -> httpx.Response:
    return admin(orchard, "POST", f"/api/v1/admin/events/{event['id']}/accept")


class PyPI:
    """One project whose one file changes upstream."""

    protocol = "pypi"

    def __init__(self, orchard: Cluster, upstream: Upstream, name: str) -> None:
        self.orchard, self.upstream, self.name = orchard, upstream, name
        self.filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"

    def put(self, number: int) -> bytes:
        wheel = build_wheel(self.name, "1.0", requires=[f"r{number}"])
        self.upstream.add_project(self.name, {self.filename: wheel})
        return wheel

    def shown(self) -> str:
        (entry,) = self.orchard.page(self.name)["files"]
        return str(entry["hashes"]["sha256"])

    def told(self, content: bytes) -> str:
        return sha256(content)

    def refresh(self) -> None:
        self.orchard.page(self.name, **{"Cache-Control": "no-cache"})

    def content(self) -> bytes:
        return self.orchard.get(self.orchard.file_path(self.name, self.filename)).content

    def page_path(self) -> str:
        return f"/simple/{self.name}/"


class Npm(PyPI):
    """The same of npm, whose file keeps its address."""

    protocol = "npm"

    def __init__(self, orchard: Cluster, upstream: Upstream, name: str) -> None:
        super().__init__(orchard, upstream, name)
        self.filename = f"{name}-1.0.0.tgz"

    def put(self, number: int) -> bytes:
        return npm_builders.publish(self.upstream, self.name, {"1.0.0": {"number": number}})["1.0.0"]

    def shown(self) -> str:
        page = self.orchard.get(f"/npm/{self.name}").json()
        return str(page["versions"]["1.0.0"]["dist"]["integrity"])

    def told(self, content: bytes) -> str:
        return npm_builders.integrity(content)

    def refresh(self) -> None:
        self.orchard.get(f"/npm/{self.name}", headers={"Cache-Control": "no-cache"})

    def content(self) -> bytes:
        return self.orchard.get(f"/npm/{self.name}/-/{self.filename}").content

    def page_path(self) -> str:
        return npm_builders.packument_path(self.name)


def facts_in_cache(orchard: Cluster, package: PyPI) -> tuple[FileName, StoredFile]:
    """The facts of the package's file, as the cache has them."""
    with orchard.client(orchard.cache) as redis:
        (key,) = redis.keys(
            f"orchard:artifact_metadata:{package.protocol}:{package.name}/*/{package.filename}"
        )
        facts = msgspec.msgpack.decode(redis.get(key), type=StoredFile)
    file_id = key.decode().split("/")[-2]
    return FileName(package.protocol, package.name, file_id, package.filename), facts


def write_late(orchard: Cluster, file: FileName, facts: StoredFile) -> bool:
    """Write facts to the cache as a service does; False: refused."""

    async def write() -> bool:
        where = address_of(orchard.cache)
        client = RedisClient(host=where.host, port=where.port, password=where.password, role="cache")
        try:
            return await CacheService.from_settings(client, Settings()).write_facts(file, facts)
        finally:
            await client.aclose()

    return asyncio.run(write())


KINDS = [pytest.param(PyPI, id="pypi"), pytest.param(Npm, id="npm")]


def changed(package: PyPI, first: int = 1, second: int = 2) -> tuple[bytes, bytes, dict[str, Any]]:
    """A sealed file, what its upstream made of it, and the event that tells so."""
    old = package.put(first)
    package.shown()
    assert package.content() == old
    new = package.put(second)

    def reported() -> bool:
        package.refresh()
        return bool(events(package.orchard, project=package.name, kind="upstream_mutated"))

    wait_until(reported, what="the event")
    return old, new, events(package.orchard, project=package.name, kind="upstream_mutated")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_accept__the_first_until_then_the_upstreams_after__once_and_audited(
    orchard: Cluster, upstream: Upstream, project: Names, kind: type[PyPI]
) -> None:
    package = kind(orchard, upstream, project())
    old, new, event = changed(package)
    kept = facts_in_cache(orchard, package)
    assert event["acceptable"] and event["detail"]["sealed_sha256"] == sha256(old)
    assert package.shown() == package.told(old) and package.content() == old
    accepted = accept(orchard, event)
    assert accepted.status_code == 200, accepted.text
    assert accepted.json()["acceptable"] is False
    assert accepted.json()["accepted_by"] and accepted.json()["accepted_at"] >= event["last_at"]
    assert (event["accepted_by"], event["accepted_at"]) == ("", 0)
    assert not write_late(orchard, *kept), "whoever has read the old row brings nothing back"
    assert package.shown() == package.told(new)
    assert package.content() == new
    assert package.shown() == package.told(new), "sealed now"
    assert list(orchard.folder.rglob(sha256(old))), "the old bytes stay stored"
    audit = admin(orchard, "GET", "/api/v1/admin/audit").json()["items"]
    (line,) = [each for each in audit if each["subject"].endswith(package.filename)]
    assert (line["action"], line["after"]["event"]) == ("event.accept", event["id"])
    again = accept(orchard, event)
    assert (again.status_code, problem(again)["code"]) == (409, "conflict")
    assert package.content() == new


@pytest.mark.parametrize("kind", KINDS)
def test_accept_while_an_index_job_runs__what_it_makes_of_the_old_row_is_refused(
    orchard: Cluster, upstream: Upstream, project: Names, kind: type[PyPI]
) -> None:
    package = kind(orchard, upstream, project())
    _, new, event = changed(package)
    before = upstream.count(package.page_path())
    upstream.fault(package.page_path(), Fault(delay_seconds=2.0), times=1)
    with ThreadPoolExecutor(1) as pool:

        def asked() -> bool:
            return upstream.count(package.page_path()) > before

        def refresh() -> None:
            while not asked():  # asked for anew at most so often
                package.refresh()

        running = pool.submit(refresh)
        wait_until(asked, seconds=30, what="the running job")
        assert accept(orchard, event).status_code == 200
        running.result()
    wait_until(lambda: package.shown() == package.told(new), what="the new bytes on the page")
    for _ in range(5):
        assert package.shown() == package.told(new)
    assert package.content() == new


def test_accept_of_a_superseded_event__409__the_newer_one_can_be_accepted(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    package = PyPI(orchard, upstream, project())
    old, _, event = changed(package)
    newest = package.put(3)

    def reported() -> bool:
        package.refresh()
        return len(events(orchard, project=package.name, kind="upstream_mutated")) == 2

    wait_until(reported, what="the second event")
    found = events(orchard, project=package.name)
    assert [each["acceptable"] for each in found] == [True, False]
    refused = accept(orchard, event)
    assert (refused.status_code, problem(refused)["code"]) == (409, "conflict")
    assert package.content() == old
    assert accept(orchard, found[0]).status_code == 200
    assert package.content() == newest


def test_accept__maven_file_whose_object_was_lost_and_that_changed_meanwhile(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    artifact = project()
    repository = Repository(upstream)
    old, new = build_jar("old"), build_jar("new")
    stem = f"org/demo/{artifact}/1.0/{artifact}-1.0.jar"
    repository.put(stem, old)
    assert orchard.get(f"/maven/{stem}").content == old
    repository.put(stem, new)
    (stored,) = orchard.folder.rglob(sha256(old))
    stored.unlink()
    refused = orchard.get(f"/maven/{stem}")
    assert refused.status_code not in (200, 404), "other bytes are never given out under a sealed name"
    name = f"org.demo:{artifact}"
    wait_until(lambda: bool(events(orchard, project=name)), what="the event")
    (event,) = events(orchard, project=name, protocol="maven", kind="upstream_mutated")
    assert accept(orchard, event).status_code == 200
    answer = orchard.get(f"/maven/{stem}")
    assert answer.content == new
    assert orchard.get(f"/maven/{stem}.sha256").text == sha256(new)


def test_events__operators_alone__filtered_and_in_pages(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    packages = [PyPI(orchard, upstream, project()) for _ in range(3)]
    ids = [changed(each)[2]["id"] for each in packages]
    assert orchard.get("/api/v1/events").status_code == 401
    assert (
        httpx.post(orchard.url(f"/api/v1/admin/events/{ids[0]}/accept"), trust_env=False).status_code == 401
    )
    found, cursor = [], ""
    while True:
        query = {"kind": "upstream_mutated", "limit": 2, "cursor": cursor}
        page = admin(orchard, "GET", "/api/v1/events", params=query).json()
        found += [each["id"] for each in page["items"]]
        cursor = page.get("next", "")
        if not cursor:
            break
    assert len(found) == len(set(found)) and set(ids) <= set(found)
    assert found.index(ids[2]) < found.index(ids[1]) < found.index(ids[0])
    last = events(orchard, project=packages[2].name)[0]
    assert [each["id"] for each in events(orchard, since=last["last_at"], protocol="pypi")] == [ids[2]]
    assert events(orchard, protocol="npm", project=packages[0].name) == []
    for spelling in (packages[1].name.upper(), packages[1].name.replace("-", "_")):
        for asked in ({}, {"protocol": "pypi"}):
            assert [each["id"] for each in events(orchard, project=spelling, **asked)] == [ids[1]], spelling
    wrong_ones = (
        {"kind": "no-such-kind"}, {"project": "a b"}, {"since": -1}, {"since": "x"}, {"protocol": "cpan"},
        {"limit": 0}, {"cursor": "x"},
    )  # fmt: skip
    assert events(orchard, project="org.nobody:nothing") == events(orchard, project="@nobody/nothing") == []
    for wrong in wrong_ones:
        assert admin(orchard, "GET", "/api/v1/events", params=wrong).status_code == 400, wrong


def test_accept__what_cannot_be_accepted_is_said(orchard: Cluster) -> None:
    missing = admin(orchard, "POST", "/api/v1/admin/events/123456789/accept")
    assert (missing.status_code, problem(missing)["code"]) == (404, "entry_not_found")


def test_command__lists_filters_and_accepts_once(
    orchard: Cluster, upstream: Upstream, project: Names, tmp_path: Path
) -> None:
    package = PyPI(orchard, upstream, project())
    _, new, event = changed(package)
    operator = Command(tmp_path, ORCHARD_URL=orchard.url(""), ORCHARD_ADMIN_TOKEN=TOKEN)
    table = operator("events", "--kind", "upstream_mutated", "--project", package.name, "--since", "3600")
    assert table.returncode == 0, table.stderr
    assert f"{event['id']}*" in table.stdout and package.filename in table.stdout
    assert json.loads(operator("events", "--project", package.name, "--json").stdout)["items"] == [event]
    assert "no events" in operator("events", "--protocol", "maven", "--project", package.name).stdout
    unknown = operator("events", "--kind", "no-such-kind")
    assert (unknown.returncode, "digest_mismatch" in unknown.stderr) == (2, True)
    assert operator("events", "accept", str(event["id"])).returncode == 0
    assert "accepted by " in operator("events", "--project", package.name).stdout
    assert package.content() == new
    again = operator("events", "accept", str(event["id"]))
    assert (again.returncode, "no longer so" in again.stderr) == (1, True)
