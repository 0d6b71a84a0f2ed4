"""A disk at its floor: what is stored is served, what is not is verified and passed on, and nothing is stored
until there is room again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.orchard import Cluster, cluster, problem, wait_until
from tests.support.small_disk import fill, small_disk
from tests.support.upstream import Fault, Upstream

MIB = 1024 * 1024
SIZES = {"kept": 2 * MIB, "tiny": 10_000, "cold": 5 * MIB, "wrong": 3 * MIB, "huge": 9 * MIB, "later": MIB}
FILES = {f"{name}-1.0.tar.gz": os.urandom(size) for name, size in SIZES.items()}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        for filename, data in FILES.items():
            server.add_project(filename.split("-")[0], {filename: data})
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    settings = {"ORCHARD_RELAY_BYTES": str(8 * MIB), "ORCHARD_READ_AHEAD": "false"}
    with small_disk(folder / "data", 100), cluster(folder, upstream, gateways=2, **settings) as running:
        assert get(running, "kept").status_code == 200
        for name in FILES:
            running.page(name.split("-")[0])
        yield running


@pytest.fixture(autouse=True)
def ballast(orchard: Cluster) -> Iterator[Path]:
    path = fill(orchard.folder / "data", leave_bytes=2 * MIB)
    yield path
    path.unlink(missing_ok=True)


def path_of(orchard: Cluster, project: str) -> str:
    return orchard.file_path(project, f"{project}-1.0.tar.gz")


def get(orchard: Cluster, project: str, gateway: int = 0) -> httpx.Response:
    base = orchard.all_of("gateway")[gateway].base
    return httpx.get(base + path_of(orchard, project), timeout=60, trust_env=False)


def stored(orchard: Cluster, project: str) -> bool:
    digest = hashlib.sha256(FILES[f"{project}-1.0.tar.gz"]).hexdigest()
    return (orchard.folder / "data" / "objects" / "artifacts" / digest[:2] / digest).exists()


def test_stored_file__disk_is_short__served(orchard: Cluster) -> None:
    answer = get(orchard, "kept")
    assert (answer.status_code, answer.headers["x-cache"]) == (200, "HIT")
    assert answer.content == FILES["kept-1.0.tar.gz"]


@pytest.mark.parametrize("project", ["tiny", "cold"])
def test_file_not_stored__disk_is_short__verified_passed_on_and_not_stored(
    orchard: Cluster, project: str
) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: get(orchard, project, number % 2), range(6)))
    for answer in answers:
        assert (answer.status_code, answer.headers["x-cache"]) == (200, "PASS"), answer.text
        assert answer.content == FILES[f"{project}-1.0.tar.gz"]
    assert not stored(orchard, project)
    assert orchard.metric(orchard.fetcher, "orchard_files_passed_total") > 0


def test_file_not_stored__upstream_sends_other_bytes__broken_off_or_refused(
    orchard: Cluster, upstream: Upstream
) -> None:
    path = "/files/wrong/wrong-1.0.tar.gz"
    upstream.fault(path, Fault(flip_at=2 * MIB))
    with contextlib.suppress(httpx.RemoteProtocolError):  # broken off
        assert get(orchard, "wrong").status_code != 200
    assert not stored(orchard, "wrong")


def test_file_larger_than_the_memory_for_it__disk_is_short__503_names_both_settings(orchard: Cluster) -> None:
    answer = get(orchard, "huge")
    assert answer.status_code == 503 and answer.headers["retry-after"]
    detail = problem(answer)["detail"]
    assert "ORCHARD_MIN_FREE_BYTES" in detail and "ORCHARD_RELAY_BYTES" in detail


def test_health__disk_is_short__says_so(orchard: Cluster) -> None:
    def says_so() -> bool:  # with the fetcher's next heartbeat
        report = orchard.get("/health").json()
        told = any("new files are not stored" in each for each in report["problems"])
        return bool(told and report["status"] == "degraded")

    wait_until(says_so, seconds=30, what="a problem in /health")


def test_room_again__stored_and_served_from_there(orchard: Cluster, ballast: Path) -> None:
    assert get(orchard, "later").headers["x-cache"] == "PASS"
    ballast.unlink()
    wait_until(lambda: get(orchard, "later").headers.get("x-cache") == "HIT", what="a stored file")
    assert stored(orchard, "later")
