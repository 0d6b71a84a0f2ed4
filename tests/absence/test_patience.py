"""A client's patience is not the upstream's deadline: what begins late is fetched all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.absence.conftest import DOCUMENTS
from tests.support.orchard import Cluster, cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

LATE = Fault(delay_seconds=3.5)


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_REQUEST_TIMEOUT": "1.5", "ORCHARD_NPM_REQUEST_TIMEOUT": "1"}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_first_byte__later_than_a_client_waits__is_there_for_the_next_one(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    document = DOCUMENTS[kind](upstream)
    upstream.fault(document.upstream, LATE)
    first = orchard.get(document.orchard)
    told = problem(first)
    assert (first.status_code, told["code"]) == (503, "deadline_exceeded")
    seconds = "1 s" if kind.startswith("npm") else "1.5 s"
    assert seconds in told["detail"], told
    assert first.headers["retry-after"]

    def is_there() -> bool:
        return orchard.get(document.orchard).status_code == 200

    wait_until(is_there, what=document.orchard)
    assert upstream.count(document.upstream, "GET") == 1


@pytest.mark.parametrize("kind", ["pypi_file", "npm_file", "maven_file"])
def test_head__later_than_a_client_waits__next_one_is_told(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    document = DOCUMENTS[kind](upstream)
    upstream.fault(document.upstream, LATE, times=1)

    def ask() -> httpx.Response:
        return httpx.head(orchard.url(document.orchard), timeout=30, trust_env=False)

    wait_until(lambda: ask().status_code == 200, what=document.orchard)
    assert ask().status_code == 200


def test_checksum_file__later_than_a_client_waits__its_file_is_kept(
    orchard: Cluster, upstream: Upstream
) -> None:
    document = DOCUMENTS["maven_file"](upstream)
    upstream.fault(f"{document.upstream}.sha1", LATE)
    wait_until(lambda: orchard.get(document.orchard).status_code == 200, what=document.orchard)
    assert upstream.count(document.upstream, "GET") == 1


def test_file__index_begins_late__its_job_waits_for_it(orchard: Cluster, upstream: Upstream) -> None:
    """No page was ever asked for: a lock file from elsewhere."""
    document = DOCUMENTS["pypi_file"](upstream)
    page = f"/simple/{document.name}/"
    upstream.fault(page, LATE)
    wait_until(lambda: orchard.get(document.orchard).status_code == 200, what=document.orchard)
    assert upstream.count(page) == upstream.count(document.upstream, "GET") == 1


@pytest.fixture(scope="module")
def impatient(orchard: Cluster) -> Cluster:
    """From here on gateways wait for long, and the fetcher does not."""
    for service in orchard.services:
        service.stop()
    orchard.services.clear()
    orchard.start("fetcher", ORCHARD_HTTP_READ_TIMEOUT="0.7")
    orchard.start("gateway", ORCHARD_REQUEST_TIMEOUT="20", ORCHARD_NPM_REQUEST_TIMEOUT="20")
    return orchard


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_silence__told_with_the_seconds_that_passed(
    impatient: Cluster, upstream: Upstream, kind: str
) -> None:
    """The upstream's own deadline, shorter than the client's: its number is told, no other."""
    document = DOCUMENTS[kind](upstream)
    upstream.fault(document.upstream, Fault(silent=True))
    told = problem(impatient.get(document.orchard))
    assert told["code"] == "upstream_timeout", told
    assert re.search(r"\b0\.7\d* s\b", told["detail"]), told
