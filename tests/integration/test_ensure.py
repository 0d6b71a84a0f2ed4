"""Ensure files through every service: resolved, fetched, locked for ever, exported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support import npm_builders
from tests.support.backend import pyproject
from tests.support.builders import build_sdist, build_wheel, core_metadata
from tests.support.cargo_builders import Registry, dependency
from tests.support.maven_builders import Dep, Repository, build_pom
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
TOKEN = "an-operators-token"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": TOKEN}


def publish(upstream: Upstream, name: str, versions: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
    """Wheels of one project with the requirements of each version; their bytes by file name."""
    files, metadata = {}, {}
    for version, requires in versions.items():
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        metadata[filename] = core_metadata(name, version, requires=requires)
        files[filename] = build_wheel(name, version, metadata=metadata[filename])
    upstream.add_project(name, files, metadata=metadata)
    return files


def post(orchard: Cluster, text: str, *, token: str = "", **query: str) -> httpx.Response:
    return httpx.post(
        orchard.url("/api/v1/ensure"),
        content=text,
        params=query,
        headers={"content-type": "application/toml"}
        | ({"authorization": f"Bearer {token}"} if token else {}),
        timeout=30,
        trust_env=False,
    )


def ensured(orchard: Cluster, text: str, **options: str) -> httpx.Response:
    """The end of an ensure: its lock, or its error."""
    answer = post(orchard, text, **options)
    if answer.status_code == 202:
        location = answer.headers["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=60, what="the end of the ensure")
        answer = orchard.get(location)
    return answer


def lock_of(orchard: Cluster, text: str) -> dict[str, Any]:
    answer = ensured(orchard, text)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def toml(*requirements: str, **options: str) -> str:
    lines = [f"requirements = {list(requirements)!r}", *(f"{key} = {text}" for key, text in options.items())]
    return "\n".join(["[pypi]", *lines])


def test_cold__every_file_stored_and_named__then_the_same_bytes_for_ever(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, left, source = project(), project(), project()
    files = publish(upstream, top, {"1.0": [left, source]})
    publish(upstream, left, {"1.0": [], "2.0": []})
    upstream.add_project(source, {f"{source}-1.0.tar.gz": build_sdist(source, "1.0")})
    answer = ensured(orchard, toml(top, f"{left}<2"))
    assert answer.status_code == 200, answer.text
    lock = answer.json()
    assert lock["complete"] is True and lock["missing"] == [] and lock["files"] == 3
    packages = {each["name"]: each for each in lock["protocols"]["pypi"]["packages"]}
    assert {name: each["version"] for name, each in packages.items()} == {
        top: "1.0", left: "1.0", source: "1.0"
    }  # fmt: skip
    (wheel,) = files.values()
    assert packages[top]["sha256"] == hashlib.sha256(wheel).hexdigest()
    assert packages[top]["size_bytes"] == len(wheel)
    assert packages[top]["dependencies"] == sorted([f"pkg:pypi/{left}@1.0", f"pkg:pypi/{source}@1.0"])
    assert lock["protocols"]["pypi"]["roots"] == sorted([f"pkg:pypi/{left}@1.0", f"pkg:pypi/{top}@1.0"])

    publish(upstream, left, {"1.0": [], "1.5": []})  # what comes later changes nothing
    upstream.fault("*", Fault(status=503))
    for redis_server in (orchard.cache, None):
        if redis_server is not None:
            with orchard.client(redis_server) as redis:
                redis.flushall()
        asked = len(upstream.requests)
        respelt = toml(f"{left} < 2", top.upper())
        assert post(orchard, respelt).content == answer.content
        assert orchard.get(f"/api/v1/ensures/{lock['key']}").content == answer.content
        for package in packages.values():
            body = orchard.get(package["path"])
            assert hashlib.sha256(body.content).hexdigest() == package["sha256"]
        assert len(upstream.requests) == asked
    exported = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/requirements.txt")
    assert f"{top}==1.0 \\\n    --hash=sha256:{packages[top]['sha256']}" in exported.text


def built(name: str, *requires: str) -> dict[str, bytes]:
    """A source archive that is built with these."""
    members = {f"{name.replace('-', '_')}-1.0/pyproject.toml": pyproject(requires, "backend")}
    return {f"{name}-1.0.tar.gz": build_sdist(name, "1.0", members=members)}


def test_build_that_nothing_satisfies__told_in_the_lock_which_is_whole_and_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    source, tool, lost, broken = project(), project(), project(), project()
    publish(upstream, tool, {"1.0": []})
    requires = [f"{tool}>=2", f"{lost} @ https://packages.example.com/lost.whl"]
    upstream.add_project(source, built(source, *requires))
    upstream.add_project(broken, built(broken, "no requirement!"))
    lock = lock_of(orchard, toml(source, broken))
    assert lock["complete"] is True and lock["files"] == 2
    of = {each["builds"][0]: each for each in lock["protocols"]["pypi"]["builds"]}
    told = [each["reason"] for each in of[f"pkg:pypi/{source}@1.0"]["unresolved"]]
    assert any("names an address" in each for each in told)
    assert any(each.startswith("resolution_conflict: ") for each in told), told
    assert of[f"pkg:pypi/{source}@1.0"]["packages"] == []
    (fault,) = of[f"pkg:pypi/{broken}@1.0"]["unresolved"]
    assert (fault["requirement"], fault["wanted_by"]) == ("no requirement!", f"pkg:pypi/{broken}@1.0")


def test_builds_in_a_circle__told_and_it_ends(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    one, other = project(), project()
    upstream.add_project(one, built(one, other))
    upstream.add_project(other, built(other, one))
    lock = lock_of(orchard, toml(one))
    assert lock["complete"] is True and lock["files"] == 2
    for build in lock["protocols"]["pypi"]["builds"]:
        assert any("built with itself" in each["reason"] for each in build["unresolved"]), build


def test_index_of_what_is_built_with_fails__incomplete__whole_after_the_next_try(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    source, tool = project(), project()
    publish(upstream, tool, {"1.0": []})
    upstream.add_project(source, built(source, tool))
    upstream.fault(f"/simple/{tool}/", Fault(status=503))
    lock = lock_of(orchard, toml(source))
    assert lock["complete"] is False
    assert {each["name"] for each in lock["missing"]} == {tool}
    upstream.heal()
    forget_breakers(orchard)

    def whole() -> bool:
        return bool(ensured(orchard, toml(source)).json().get("complete"))

    wait_until(whole, seconds=90, what="a whole lock after the upstream came back")


def test_upstream_fails_for_a_file__incomplete_naming_it__whole_after_the_next_try(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, broken = project(), project()
    publish(upstream, top, {"1.0": [broken]})
    (filename,) = publish(upstream, broken, {"1.0": []})
    upstream.fault(f"/files/{broken}/{filename}", Fault(status=503))
    answer = ensured(orchard, toml(top))
    assert answer.status_code == 200, answer.text
    lock = answer.json()
    assert lock["complete"] is False
    (missing,) = lock["missing"]
    assert (missing["name"], missing["filename"], missing["passing"]) == (broken, filename, True)
    assert missing["reason"].startswith("upstream_")
    refused = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/requirements.txt")
    assert (refused.status_code, problem(refused)["code"]) == (503, "ensure_incomplete")

    upstream.heal()
    forget_breakers(orchard)
    whole = lock_of(orchard, toml(top))
    assert whole["complete"] is True and whole["key"] == lock["key"]


def test_upstream_says_slow_down__the_ensure_waits_and_is_whole(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top = project()
    (filename,) = publish(upstream, top, {"1.0": []})
    path = f"/files/{top}/{filename}"
    upstream.fault(path, Fault(status=429, headers={"retry-after": "1"}), times=1)
    lock = lock_of(orchard, toml(top))
    assert lock["complete"] is True
    assert upstream.count(path) == 2


def test_index_fails__incomplete_with_the_reason(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, away = project(), project()
    publish(upstream, top, {"1.0": [away]})
    publish(upstream, away, {"1.0": []})
    upstream.fault(f"/simple/{away}/", Fault(status=503))
    lock = lock_of(orchard, toml(top))
    assert lock["complete"] is False
    assert [(each["name"], each["passing"]) for each in lock["missing"]] == [(away, True)]


def test_no_versions_fit__422_with_the_chain__also_when_asked_later(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, shared = project(), project()
    publish(upstream, top, {"1.0": [f"{shared}>=2"]})
    publish(upstream, shared, {"1.0": [], "2.0": []})
    answer = ensured(orchard, toml(top, f"{shared}<2"))
    assert (answer.status_code, problem(answer)["code"]) == (422, "resolution_conflict")
    assert f"request -> {top} 1.0 -> {shared}>=2" in problem(answer)["detail"]


def test_unknown_project__404_with_its_protocol(orchard: Cluster, project: Names) -> None:
    name = project()
    answer = ensured(orchard, toml(name))
    assert (answer.status_code, problem(answer)["code"]) == (404, "project_not_found")
    assert f"pypi: {name}" in problem(answer)["detail"]


def test_slow_file__202_with_figures_until_it_is_there(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top = project()
    (filename,) = publish(upstream, top, {"1.0": []})
    upstream.fault(f"/files/{top}/{filename}", Fault(delay_seconds=4), times=1)
    answer = post(orchard, toml(top))
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert (shown["status"], shown["phase"], shown["files_known"], shown["files_ready"]) == (
        "working", "fetching", 1, 0
    )  # fmt: skip
    assert shown["bytes_known"] > 0 and answer.headers["location"] == shown["location"]
    early = orchard.get(f"{shown['location']}/exports/bom.cdx.json")
    assert (early.status_code, problem(early)["code"]) == (503, "ensure_incomplete")
    assert lock_of(orchard, toml(top))["complete"] is True


def test_refresh__needs_the_token_and_replaces_the_lock(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top = project()
    publish(upstream, top, {"1.0": []})
    first = ensured(orchard, toml(top))
    refused = post(orchard, toml(top), refresh="true")
    assert refused.status_code in (401, 403)
    publish(upstream, top, {"1.0": [], "2.0": []})
    with orchard.client(orchard.cache) as redis:  # the page would be fresh for minutes
        redis.delete(f"orchard:package_index:pypi:simple/{top}")
    fresh = ensured(orchard, toml(top), refresh="true", token=TOKEN)
    assert fresh.status_code == 200, fresh.text
    assert [each["version"] for each in fresh.json()["protocols"]["pypi"]["packages"]] == ["2.0"]
    assert post(orchard, toml(top)).content == fresh.content != first.content


def test_evicted_file_whose_row_stays__fetched_again_and_held(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, other = project(), project()
    wheel = build_wheel(top, "1.0", size_bytes=100_000)
    upstream.add_project(top, {f"{top.replace('-', '_')}-1.0-py3-none-any.whl": wheel})
    publish(upstream, other, {"1.0": []})
    sha256 = hashlib.sha256(wheel).hexdigest()
    (package,) = lock_of(orchard, toml(top))["protocols"]["pypi"]["packages"]
    (stored,) = (each for each in (orchard.folder / "data").rglob(sha256) if each.is_file())
    stored.unlink()
    assert lock_of(orchard, toml(top, other))["complete"] is True
    assert stored.read_bytes() == wheel
    with orchard.client(orchard.queue) as redis:  # told as a use, which the evictor heeds
        assert redis.zscore("orchard:artifact_uses", bytes.fromhex(sha256)) is not None
    assert orchard.get(package["path"]).content == wheel


def test_several_protocols__one_lock_and_one_bill_of_materials(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, app, lib, alien = project(), project(), project(), project()
    publish(upstream, top, {"1.0": []})
    npm_builders.publish(
        upstream,
        app,
        {"1.0.0": {"dependencies": {lib: "^1"}, "optionalDependencies": {alien: "1"}, "bin": "./cli.js"}},
    )
    npm_builders.publish(upstream, lib, {"1.0.0": {}, "1.2.0": {"engines": {"node": ">=10"}}, "2.0.0": {}})
    npm_builders.publish(upstream, alien, {"1.0.0": {"os": ["win32"]}})
    group, jar, plugin = "org.example.demo", project(), project()
    repository = Repository(upstream)
    folder = f"{group.replace('.', '/')}/{jar}"
    parent = (
        f"<parent><groupId>{group}</groupId><artifactId>{jar}-all</artifactId><version>1</version></parent>"
    )
    repository.put(f"{folder}-all/1/{jar}-all-1.pom", build_pom(group, f"{jar}-all", "1", packaging="pom"))
    repository.add(group, jar, "1.0", pom_extra=parent)
    repository.add(group, plugin, "2.0", [Dep(group, jar, "1.0")])
    repository.add("org.codehaus.plexus", "plexus-utils", "1.1")  # Maven 3 gives it to every plugin
    text = f"""
        {toml(top)}
        [npm.dependencies]
        {app} = "^1.0.0"
        [maven]
        dependencies = ["{group}:{jar}:1.0"]
        plugins = ["{group}:{plugin}:2.0"]
    """
    lock = lock_of(orchard, text)
    assert lock["complete"] is True, str(lock)
    assert set(lock["protocols"]) == {"pypi", "npm", "maven"}
    maven = lock["protocols"]["maven"]
    assert [each["filename"] for each in maven["packages"]] == [f"{jar}-1.0.jar"]
    assert [each["filename"] for each in maven["documents"]] == [f"{jar}-1.0.pom", f"{jar}-all-1.pom"]
    assert {each["name"] for each in maven["plugins"][0]["packages"]} == {
        f"{group}:{plugin}",
        f"{group}:{jar}",
        "org.codehaus.plexus:plexus-utils",
    }
    assert orchard.get(maven["documents"][1]["path"]).status_code == 200
    packages = {each["name"]: each for each in lock["protocols"]["npm"]["packages"]}
    assert packages[lib]["version"] == "1.2.0"
    assert packages[lib]["path"] == f"/npm/{lib}/-/{lib}-1.2.0.tgz"
    assert packages[alien]["inert"] is True and packages[alien]["sha256"] == ""
    assert not upstream.count(npm_builders.tarball_path(alien, "1.0.0"))
    assert lock["files"] == 3 + 3 + 3  # of plexus-utils Maven reads no POM

    exports = f"/api/v1/ensures/{lock['key']}/exports"
    tree = orchard.get(f"{exports}/package-lock.json").json()["packages"]
    assert tree[""]["dependencies"] == {app: "^1.0.0"}
    assert tree[f"node_modules/{lib}"] == {
        "version": "1.2.0",
        "engines": {"node": ">=10"},
        "resolved": f"{orchard.url('')}/npm/{lib}/-/{lib}-1.2.0.tgz",
        "integrity": packages[lib]["integrity"],
    }
    assert tree[f"node_modules/{app}"]["bin"] == {app: "cli.js"}
    assert tree[f"node_modules/{alien}"]["optional"] is True
    named = {each["purl"] for each in orchard.get(f"{exports}/bom.cdx.json").json()["components"]}
    assert named == {
        f"pkg:pypi/{top}@1.0",
        f"pkg:npm/{app}@1.0.0",
        f"pkg:npm/{lib}@1.2.0",
        f"pkg:maven/{group}/{jar}@1.0?type=jar",
        f"pkg:maven/{group}/{plugin}@2.0?type=jar",
        "pkg:maven/org.codehaus.plexus/plexus-utils@1.1?type=jar",
    }
    fragment = orchard.get(f"{exports}/dependency-management.xml").text
    assert f"<artifactId>{jar}</artifactId>" in fragment and plugin not in fragment


def test_export_of_a_table_that_the_file_lacks__404(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top = project()
    publish(upstream, top, {"1.0": []})
    lock = lock_of(orchard, toml(top))
    absent = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/dependency-management.xml")
    assert (absent.status_code, problem(absent)["code"]) == (404, "ensure_not_found")


def test_crate_of_another_registry__incomplete_and_named__nothing_is_exported(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name, elsewhere = project(), "sparse+https://index.example.com/"
    registry = Registry(upstream)
    registry.add(name, "1.0.0")
    (line,) = registry.lines(name)
    registry.put_lines(name, [line | {"deps": [dependency("other 1") | {"registry": elsewhere}]}])
    text = f'[cargo]\nrequirements = ["{name}@1"]\n'
    lock = lock_of(orchard, text)
    assert lock["complete"] is False
    (lacking,) = lock["missing"]
    assert (lacking["name"], lacking.get("passing", False)) == ("other", False)
    assert elsewhere in lacking["reason"] and name in lacking["wanted_by"]
    for export in ("Cargo.toml", "Cargo.lock"):
        answer = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/{export}")
        assert answer.status_code != 200 and "another registry" in answer.text


def test_jar_that_is_nowhere__incomplete_and_no_retry_will_help(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    jar = Repository(upstream).add("org.example.demo", name, "1.0")
    upstream.remove(f"/maven/{jar}")
    lock = lock_of(orchard, f'[maven]\ndependencies = ["org.example.demo:{name}:1.0"]\n')
    assert lock["complete"] is False
    (missing,) = lock["missing"]
    assert (missing["filename"], missing.get("passing", False)) == (f"{name}-1.0.jar", False)
    assert missing["reason"].startswith("file_not_found")


def test_extractor_killed_while_a_file_comes__another_goes_on_to_the_lock(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, slow = project(), project()
    publish(upstream, top, {"1.0": [slow]})
    (filename,) = publish(upstream, slow, {"1.0": []})
    upstream.fault(f"/files/{slow}/{filename}", Fault(delay_seconds=5), times=1)
    answer = post(orchard, toml(top))
    assert (answer.status_code, answer.json()["phase"]) == (202, "fetching")
    for extractor in orchard.all_of("extractor"):
        extractor.kill()
    orchard.start("extractor")
    location = answer.json()["location"]
    wait_until(lambda: orchard.get(location).status_code == 200, seconds=60, what="the lock")
    lock = orchard.get(location).json()
    assert lock["complete"] is True and lock["files"] == 2
    assert upstream.count(f"/files/{slow}/{filename}") == 1


def test_many_post_the_same_file__one_download(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    top = project()
    (filename,) = publish(upstream, top, {"1.0": []})
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ensured(orchard, toml(top)), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert upstream.count(f"/files/{top}/{filename}") == 1


def test_fresh_gateway_and_an_empty_cache__the_same_lock_and_files(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top = project()
    publish(upstream, top, {"1.0": []})
    answer = ensured(orchard, toml(top))
    upstream.fault("*", Fault(status=503))
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    fresh = orchard.start("gateway")
    with httpx.Client(base_url=fresh.base, timeout=30, trust_env=False) as client:
        again = client.post("/api/v1/ensure", content=toml(top))
        assert (again.status_code, again.content) == (200, answer.content)
        (package,) = answer.json()["protocols"]["pypi"]["packages"]
        assert hashlib.sha256(client.get(package["path"]).content).hexdigest() == package["sha256"]
    fresh.stop()


@pytest.mark.parametrize(
    ("text", "status", "code", "told"),
    [
        ('[pypi]\nrequirments = ["a"]', 422, "ensure_invalid", "line 2, column 1"),
        ('[pypi]\nrequirements = ["\xff"]'.encode("latin-1"), 422, "ensure_invalid", "line 2, column 18"),
        ("# " + "x" * 300_000, 413, "request_too_large", "262144"),
    ],
    ids=["typo", "bytes", "large"],
)
def test_bad_file__told(orchard: Cluster, text: Any, status: int, code: str, told: str) -> None:
    answer = post(orchard, text)
    assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert told in problem(answer)["detail"]


def test_openapi__describes_the_lock(orchard: Cluster) -> None:
    schema = orchard.get("/api/v1/openapi/openapi.json").json()
    answers = schema["paths"]["/api/v1/ensure"]["post"]["responses"]
    assert answers["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Lock")
    assert "LockedPackage" in schema["components"]["schemas"]


def test_by_key__unknown_or_no_key__told(orchard: Cluster) -> None:
    for path, status, code in (
        (f"/api/v1/ensures/{'0' * 64}", 404, "ensure_not_found"),
        (f"/api/v1/ensures/{'0' * 64}/exports/requirements.txt", 404, "ensure_not_found"),
        ("/api/v1/ensures/short", 400, "invalid_parameter"),
        (f"/api/v1/ensures/{'0' * 64}/exports/setup.py", 400, "invalid_parameter"),
    ):
        answer = orchard.get(path)
        assert (answer.status_code, problem(answer)["code"]) == (status, code)


def forget_breakers(orchard: Cluster) -> None:
    with orchard.client(orchard.cache) as client:
        for key in client.scan_iter(match="orchard:upstream_sources:*:breaker:*"):
            client.delete(key)
