"""A registry that answers 404 for everything has lost its mind, not its packages."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.absence.conftest import DOCUMENTS
from tests.support.maven_builders import Repository
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

PAGES = ("pypi_page", "npm_page", "maven_page")
TOKEN = "operators-token-of-tests"
ADMIN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    both = f"{upstream.url}/maven/,{upstream.url}/second/"
    settings = {
        "ORCHARD_CACHE_TTL_INDEX": "1",
        "ORCHARD_CACHE_TTL_NEGATIVE": "3600",
        "ORCHARD_STALE_WAIT": "5",
        "ORCHARD_MAVEN_UPSTREAM": both,
        "ORCHARD_ADMIN_TOKEN": TOKEN,
    }
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _healed(upstream: Upstream) -> Iterator[None]:
    yield
    upstream.heal()


@pytest.mark.parametrize("kind", PAGES)
def test_page_that_was_there__all_is_404__stale_until_the_upstream_is_well(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    kept, witness = DOCUMENTS[kind](upstream), DOCUMENTS[kind](upstream)
    for document in (kept, witness):
        assert orchard.get(document.orchard).status_code == 200
    whole = orchard.get(kept.orchard).content
    upstream.fault("*", Fault(status=404))

    def doubted() -> bool:
        answer = orchard.get(kept.orchard)
        assert (answer.status_code, answer.content) == (200, whole), answer.text
        return answer.headers["x-cache"] == "STALE" and upstream.count(witness.upstream, "HEAD") > 0

    wait_until(doubted, what="a look at the witness")
    with orchard.client(orchard.cache) as redis:
        redis.flushall()  # what is kept is in rows, too
    answer = orchard.get(kept.orchard)
    assert (answer.status_code, answer.headers["x-cache"]) == (200, "STALE"), answer.text
    upstream.heal()
    wait_until(
        lambda: orchard.get(kept.orchard).headers["x-cache"] != "STALE",
        seconds=40,
        what="its word",
    )


@pytest.mark.parametrize("kind", ["pypi_file", "npm_file"])
def test_file_that_its_page_lists__all_is_404__is_trouble_and_not_absent(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    page = DOCUMENTS[kind](upstream)
    index = f"/pypi/simple/{page.name}/" if kind == "pypi_file" else f"/npm/{page.name}"
    assert orchard.get(index).status_code == 200
    upstream.fault("*", Fault(status=404))
    wait_until(lambda: orchard.get(index).headers["x-cache"] == "STALE", what="a page in doubt")
    assert orchard.get(page.orchard).status_code == 503
    upstream.heal()
    wait_until(lambda: orchard.get(page.orchard).status_code == 200, seconds=40, what="the file")


@pytest.mark.parametrize("kind", PAGES)
def test_page_that_was_there__another_is_still_there__its_404_is_believed_at_once(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    gone, witness = DOCUMENTS[kind](upstream), DOCUMENTS[kind](upstream)
    for document in (gone, witness):
        assert orchard.get(document.orchard).status_code == 200
    upstream.remove(gone.upstream)
    wait_until(lambda: orchard.get(gone.orchard).status_code == 404, what="the 404")
    upstream.fault("*", Fault(status=500))
    with orchard.client(orchard.cache) as redis:
        redis.flushall()
    answer = orchard.get(gone.orchard)
    assert (answer.status_code, answer.headers["x-cache"]) == (404, "STALE"), answer.text


@pytest.mark.parametrize("kind", PAGES)
def test_source_that_was_doubted_and_has_something_again__what_it_lost_is_believed_at_once(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    gone, doubted, witness = (DOCUMENTS[kind](upstream) for _ in range(3))
    for document in (gone, doubted):
        assert orchard.get(document.orchard).status_code == 200
    upstream.fault("*", Fault(status=404))
    wait_until(lambda: orchard.get(doubted.orchard).headers["x-cache"] == "STALE", what="a page in doubt")
    upstream.heal()
    upstream.remove(gone.upstream)
    assert orchard.get(witness.orchard).status_code == 200
    # Sooner than what is doubted is asked for again.
    wait_until(lambda: orchard.get(gone.orchard).status_code == 404, seconds=12, what="the 404")


def test_pins_changed__what_was_absent__is_looked_for_at_once(orchard: Cluster, upstream: Upstream) -> None:
    Repository(upstream).add("org.demo", "pinned", "1.0")
    jar = Repository(upstream, "/second").add("org.demo", "pinned", "2.0")
    assert orchard.get("/maven/org/demo/pinned/1.0/pinned-1.0.pom").status_code == 200
    for _ in range(2):
        assert orchard.get(f"/maven/{jar}").status_code == 404
    _pin(orchard, "maven", "maven-2")
    assert orchard.get(f"/maven/{jar}").status_code == 200
    absent = jar.replace("2.0", "3.0")
    assert orchard.get(f"/maven/{absent}").status_code == 404
    Repository(upstream).add("org.demo", "pinned", "3.0")
    _pin(orchard, "maven")
    assert orchard.get(f"/maven/{absent}").status_code == 200


def _pin(orchard: Cluster, *sources: str) -> None:
    address = orchard.url("/api/v1/admin/pins/maven/org.demo:pinned")
    answer = httpx.put(address, json={"sources": list(sources)}, headers=ADMIN, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text


def test_all_is_404__for_longer_than_an_operator_would_doubt__believed(
    orchard: Cluster, upstream: Upstream
) -> None:
    for service in orchard.services:
        if service.name == "fetcher":
            service.stop()
    orchard.services[:] = [each for each in orchard.services if each.name != "fetcher"]
    orchard.start("fetcher", ORCHARD_ABSENCE_DOUBT="1", ORCHARD_REQUEST_TIMEOUT="10")
    kept = DOCUMENTS["pypi_page"](upstream)
    assert orchard.get(kept.orchard).status_code == 200
    upstream.fault("*", Fault(status=404))
    wait_until(lambda: orchard.get(kept.orchard).status_code == 404, seconds=60, what="the 404")
