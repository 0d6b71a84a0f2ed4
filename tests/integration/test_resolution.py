"""Dependency graphs through every service: the read API, resolution cold and warm, conflicts, bombs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest

from tests.support.builders import build_sdist, build_wheel, core_metadata
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
TOKEN = "an-operators-token"
NOWHERE = f"/api/v1/artifacts/{'0' * 64}"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": TOKEN, "ORCHARD_REQUEST_TIMEOUT": "4"}


def publish(
    upstream: Upstream, name: str, versions: Mapping[str, Sequence[str]], *, advertise: bool = True
) -> dict[str, bytes]:
    """Wheels of one project with the requirements of each version; their bytes by version."""
    wheels, files, metadata = {}, {}, {}
    for version, requires in versions.items():
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        text = core_metadata(name, version, requires=requires)
        wheels[version] = files[filename] = build_wheel(name, version, metadata=text)
        metadata[filename] = text
    upstream.add_project(name, files, metadata=metadata if advertise else None)
    return wheels


def post(orchard: Cluster, *requirements: str, token: str = "", **options: Any) -> httpx.Response:
    return httpx.post(
        orchard.url("/api/v1/resolve"),
        json={"requirements": list(requirements), **options},
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=30,
        trust_env=False,
    )


def stored(orchard: Cluster, name: str, version: str = "1.0") -> str:
    """Have a wheel fetched; its SHA256, once its dependencies are extracted."""
    content = orchard.get(orchard.file_path(name, f"{name.replace('-', '_')}-{version}-py3-none-any.whl"))
    assert content.status_code == 200
    sha256 = hashlib.sha256(content.content).hexdigest()

    def extracted() -> bool:
        state = orchard.get(f"/api/v1/artifacts/{sha256}").json()["extraction_state"]
        return bool(state == "extracted")

    wait_until(extracted, what="the extraction")
    return sha256


# --- the read API ---------------------------------------------------------------------------------


def test_artifact__facts_names_and_both_directions_of_dependencies(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name, needed = project(), project()
    publish(upstream, name, {"1.0": [f"{needed}>=1", 'other; python_version < "3"']})
    publish(upstream, needed, {"1.0": []})
    sha256, needed_sha256 = stored(orchard, name), stored(orchard, needed)

    facts = orchard.get(f"/api/v1/artifacts/{sha256}").json()
    assert (facts["name"], facts["version"], facts["sha256"]) == (name, "1.0", sha256)
    (named,) = facts["names"]
    assert named["purl"] == f"pkg:pypi/{name}@1.0"
    assert named["source"]
    assert abs(named["first_seen_at"] - time.time()) < 60
    assert orchard.get(named["path"]).status_code == 200

    first = orchard.get(f"/api/v1/artifacts/{sha256}/dependencies?limit=1").json()
    second = orchard.get(f"/api/v1/artifacts/{sha256}/dependencies?limit=1&cursor={first['next']}").json()
    assert [each["items"][0]["name"] for each in (first, second)] == [needed, "other"]
    assert second["next"] == ""

    for path in (f"/api/v1/artifacts/{needed_sha256}/dependents", f"/api/v1/dependents/pypi/{needed}"):
        (dependent,) = orchard.get(path).json()["items"]
        assert (dependent["project"], dependent["requirement"]) == (name, f"{needed}>=1")
    files = orchard.get(f"/api/v1/packages/pypi/{name.upper()}").json()["items"]
    assert [(each["version"], each["sha256"]) for each in files] == [("1.0", sha256)]


def test_packages__prefix_and_pages__each_once_in_order(orchard: Cluster, upstream: Upstream) -> None:
    for number in range(5):
        publish(upstream, f"paged-{number}", {"1.0": []})
        stored(orchard, f"paged-{number}")
    names: list[str] = []
    cursor = ""
    for _ in range(3):
        page = orchard.get(f"/api/v1/packages/pypi?prefix=Paged_&limit=2&cursor={cursor}").json()
        names += [each["name"] for each in page["items"]]
        cursor = page["next"]
    assert names == [f"paged-{number}" for number in range(5)]
    assert cursor == ""


def test_package__listed_again__from_the_cache_until_another_file_is_stored(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0": [], "2.0": []})

    def listed() -> list[tuple[str, str]]:
        items = orchard.get(f"/api/v1/packages/pypi/{name}").json()["items"]
        return sorted((each["version"], each["extraction_state"]) for each in items)

    stored(orchard, name)
    kept = orchard.client(orchard.cache)
    key = f"orchard:package_versions:pypi:{name}"
    wait_until(lambda: listed() == [("1.0", "extracted")] and kept.exists(key), what="the kept list")
    assert 0 < kept.ttl(key) <= 300
    stored(orchard, name, "2.0")
    wait_until(lambda: listed() == [("1.0", "extracted"), ("2.0", "extracted")], what="the new file")


@pytest.mark.parametrize(
    ("path", "status", "code", "named"),
    [
        (f"/api/v1/artifacts/{'0' * 64}", 404, "artifact_not_found", "0000"),
        (f"/api/v1/artifacts/{'0' * 64}/dependencies", 404, "artifact_not_found", "0000"),
        (f"/api/v1/artifacts/{'0' * 64}/resolution", 404, "artifact_not_found", "0000"),
        ("/api/v1/artifacts/nonsense", 400, "invalid_parameter", "sha256"),
        ("/api/v1/packages/cobol", 400, "invalid_parameter", "protocol"),
        ("/api/v1/packages/pypi/never-seen-here", 404, "package_not_found", "pypi"),
        ("/api/v1/packages/pypi?limit=501", 400, "invalid_parameter", "limit"),
        ("/api/v1/packages/pypi?limit=many", 400, "invalid_parameter", "limit"),
        ("/api/v1/packages/pypi?cursor=%00", 400, "invalid_parameter", "cursor"),
        ("/api/v1/packages/pypi?cursor=WzFd", 400, "invalid_parameter", "cursor"),
        (f"{NOWHERE}/resolution?max_depth=x&protocol=pypi", 400, "invalid_parameter", "max_depth"),
        (f"{NOWHERE}/resolution?bogus=1&protocol=pypi", 400, "invalid_parameter", "bogus"),
        (f"{NOWHERE}/resolution?refresh=maybe", 400, "invalid_parameter", "refresh"),
        (f"/api/v1/resolutions/{'0' * 64}", 404, "resolution_not_found", "0000"),
    ],
)  # fmt: skip
def test_bad_request__problem_document_naming_the_fault(
    orchard: Cluster, path: str, status: int, code: str, named: str
) -> None:
    answer = orchard.get(path)
    assert (answer.status_code, problem(answer)["code"]) == (status, code)
    assert named in problem(answer)["detail"]


def test_openapi__describes_the_api_and_is_browsable(orchard: Cluster) -> None:
    schema = orchard.get("/api/v1/openapi/openapi.json").json()
    assert {"/api/v1/resolve", "/api/v1/artifacts/{sha256}", "/api/v1/packages/{protocol}"} <= set(
        schema["paths"]
    )
    assert orchard.get("/api/v1/openapi").status_code == 200


# --- resolution -----------------------------------------------------------------------------------


def test_requirements__cold__resolved_from_metadata_alone_then_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, left, right, shared = (project() for _ in range(4))
    publish(upstream, top, {"1.0": [left, right]})
    publish(upstream, left, {"1.0": [f"{shared}<2"], "2.0": [f"{shared}>=2"]})
    publish(upstream, right, {"1.0": [f"{shared}<2"]})
    publish(upstream, shared, {"1.0": [], "2.0": []})

    answer = post(orchard, top)
    assert answer.status_code == 200, answer.text
    graph = answer.json()
    assert {node["name"]: node["version"] for node in graph["nodes"]} == {
        top: "1.0", left: "1.0", right: "1.0", shared: "1.0"
    }  # fmt: skip
    assert graph["complete"] is True
    assert all(len(node["sha256"]) == 64 and node["size_bytes"] for node in graph["nodes"])
    edge = next(each for each in graph["edges"] if each["source"] == f"pkg:pypi/{right}@1.0")
    assert (edge["target"], edge["requirement"]) == (f"pkg:pypi/{shared}@1.0", f"{shared}<2")
    assert not [each for each in upstream.requests if each.path.endswith(f"{top}-1.0-py3-none-any.whl")]

    publish(upstream, shared, {"1.0": [], "1.5": []})  # what comes later changes nothing
    asked = len(upstream.requests)
    assert post(orchard, top).content == answer.content
    assert orchard.get(f"/api/v1/resolutions/{graph['key']}").content == answer.content
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    assert post(orchard, top).content == answer.content  # out of the database
    assert len(upstream.requests) == asked


def test_artifact__resolved_with_itself_as_root__warm_answer_is_the_same(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, needed = project(), project()
    publish(upstream, top, {"1.0": [needed], "2.0": []})
    publish(upstream, needed, {"1.0": [top]})
    sha256 = stored(orchard, top)
    path = f"/api/v1/artifacts/{sha256}/resolution?max_depth=7"
    cold = orchard.get(path)
    assert cold.status_code == 200, cold.text
    graph = cold.json()
    assert [(node["name"], node["version"]) for node in graph["nodes"]] == [(top, "1.0"), (needed, "1.0")]
    assert graph["nodes"][0]["sha256"] == sha256
    assert graph["cycles"] == [sorted([f"pkg:pypi/{needed}@1.0", f"pkg:pypi/{top}@1.0"])]
    warm = orchard.get(path)
    assert warm.headers["x-cache"] == "HIT"
    assert warm.content == cold.content


def test_files_without_offered_metadata__wheels_read_by_ranges_and_sdists_fetched(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, plain, source, old = (project() for _ in range(4))
    publish(upstream, top, {"1.0": [plain, source, old]})
    publish(upstream, plain, {"1.0": []}, advertise=False)
    upstream.add_project(source, {f"{source}-1.0.tar.gz": build_sdist(source, "1.0", requires=[plain])})
    upstream.add_project(old, {f"{old}-1.0.tar.gz": build_sdist(old, "1.0", metadata_version="1.2")})
    graph = post(orchard, top).json()
    assert {node["name"] for node in graph["nodes"]} == {top, plain, source, old}
    assert any(each["source"] == f"pkg:pypi/{source}@1.0" for each in graph["edges"])
    assert [(each["name"], each["passing"]) for each in graph["unresolved"]] == [(old, False)]
    assert "2.2" in graph["unresolved"][0]["reason"]
    assert graph["complete"] is True
    wheel = upstream.seen(f"/files/{plain}/{plain.replace('-', '_')}-1.0-py3-none-any.whl")
    assert [each.headers.get("range", "")[:7] for each in wheel] == ["bytes=-"]


def test_conflict__422_with_the_chain(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    top, left, right, shared = (project() for _ in range(4))
    publish(upstream, top, {"1.0": [left, right]})
    publish(upstream, left, {"1.0": [f"{shared}<2"]})
    publish(upstream, right, {"1.0": [f"{shared}>=2"]})
    publish(upstream, shared, {"1.0": [], "2.0": []})
    answer = post(orchard, top)
    assert (answer.status_code, problem(answer)["code"]) == (422, "resolution_conflict")
    assert f"request -> {top} 1.0 -> {left} 1.0 -> {shared}<2" in problem(answer)["detail"]
    assert f"request -> {top} 1.0 -> {right} 1.0 -> {shared}>=2" in problem(answer)["detail"]


def test_requirements_beyond_a_mebibyte__413(orchard: Cluster) -> None:
    answer = post(orchard, "a" * (1024 * 1024))
    assert answer.status_code == 413
    assert problem(answer)["code"] == "request_too_large"


def test_unknown_project__404_with_its_protocol(orchard: Cluster, project: Names) -> None:
    name = project()
    answer = post(orchard, name)
    assert (answer.status_code, problem(answer)["code"]) == (404, "project_not_found")
    assert f"pypi: {name}" in problem(answer)["detail"]


def test_node_missing_for_a_passing_cause__incomplete_and_not_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, away = project(), project()
    publish(upstream, top, {"1.0": [away]})
    publish(upstream, away, {"1.0": []})
    upstream.fault(f"/simple/{away}/", Fault(status=503))
    answer = post(orchard, top)
    assert answer.status_code == 200, answer.text
    graph = answer.json()
    assert graph["complete"] is False
    assert [(each["name"], each["passing"]) for each in graph["unresolved"]] == [(away, True)]

    upstream.heal()

    def whole() -> bool:
        again = post(orchard, top)
        return again.status_code == 200 and bool(again.json()["complete"])

    wait_until(whole, seconds=30, what="a complete answer after the upstream came back")


def test_slow_upstream__202_with_progress_then_the_answer_at_its_location(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    chain = [project() for _ in range(4)]
    for name, needed in zip(chain, [*chain[1:], ""], strict=True):
        publish(upstream, name, {"1.0": [needed] if needed else []})
        upstream.fault(f"/simple/{name}/", Fault(delay_seconds=1.7), times=1)
    top = chain[0]
    answer = post(orchard, top)
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert (shown["status"], shown["documents_wanted"]) == ("working", 1)
    assert shown["documents_known"] >= 2
    assert int(answer.headers["retry-after"]) >= 1
    wait_until(lambda: orchard.get(answer.headers["location"]).status_code == 200, what="the answer")
    assert orchard.get(answer.headers["location"]).content == post(orchard, top).content


def test_refresh__needs_the_token_and_replaces_what_is_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top = project()
    publish(upstream, top, {"1.0": []})
    first = post(orchard, top)
    for token in ("", "wrong"):
        refused = post(orchard, top, refresh=True, token=token)
        assert (refused.status_code, problem(refused)["code"]) == (403, "forbidden")
    publish(upstream, top, {"1.0": [], "2.0": []})
    with orchard.client(orchard.cache) as redis:  # the page would be fresh for minutes
        redis.delete(f"orchard:package_index:pypi:simple/{top}")
    fresh = post(orchard, top, refresh=True, token=TOKEN)
    assert fresh.status_code == 200, fresh.text
    assert [node["version"] for node in fresh.json()["nodes"]] == ["2.0"]
    assert post(orchard, top).content == fresh.content != first.content


def test_many_at_once__more_than_slots__all_finish(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    needed = project()
    publish(upstream, needed, {"1.0": []})
    roots = [project() for _ in range(12)]
    for root in roots:
        publish(upstream, root, {"1.0": [needed]})
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda root: post(orchard, root), roots))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert upstream.count(f"/simple/{needed}/") == 1


def test_bomb__endless_chain__typed_error_and_the_worker_stays(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    """Every version of one project excludes every version of another: hopeless, and long to find out."""
    left, right = project(), project()
    publish(upstream, left, {f"{n}.0": [f"{right}=={n}.1"] for n in range(1, 120)})
    publish(upstream, right, {f"{n}.0": [f"{left}=={n}.1"] for n in range(1, 120)})
    pids = [service.process.pid for service in orchard.all_of("extractor")]
    answer = post(orchard, left, right, "no-such-thing-at-all")
    assert answer.status_code in (404, 422)
    answer = post(orchard, left, right)
    deadline = time.monotonic() + 60
    while answer.status_code == 202 and time.monotonic() < deadline:
        answer = post(orchard, left, right)
    assert (answer.status_code, problem(answer)["code"]) == (422, "resolution_conflict")
    assert [service.process.pid for service in orchard.all_of("extractor")] == pids
    top = project()
    publish(upstream, top, {"1.0": []})
    assert post(orchard, top).status_code == 200
