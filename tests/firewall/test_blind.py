"""Feeds are set: nothing is served before one was read, and what it told counts on once it is away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import httpx
import pytest

from tests.firewall.asking import ask
from tests.firewall.feeds import Folder, await_feed, of_shelf, span
from tests.firewall.shelves import OLD, SHELVES, NewShelf, new_shelves
from tests.firewall.test_changes import sql
from tests.firewall.test_exemptions import orchard_command
from tests.support.orchard import Cluster, cluster, problem, wait_until
from tests.support.upstream import Upstream

ADMIN_TOKEN = "operators-token-of-tests"
kinds = pytest.mark.parametrize("kind", SHELVES)


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    """An Orchard whose only feed was never there."""
    folder = tmp_path_factory.mktemp("blind")
    settings = {"ORCHARD_OSV_FEEDS": str(folder / "nowhere"), "ORCHARD_ADMIN_TOKEN": ADMIN_TOKEN}
    with cluster(folder / "orchard", upstream, **settings) as running:
        yield running


def problems(orchard: Cluster) -> str:
    """What is wrong with the policy, as /health tells anybody."""
    return httpx.get(orchard.url("/health"), timeout=30, trust_env=False).text


@kinds
def test_no_feed_was_ever_read__pages_and_files_are_refused_for_now(
    blind: Cluster, upstream: Upstream, kind: str
) -> None:
    it = new_shelves(blind, upstream)(kind)
    it.put({"1.0.0": OLD})
    for path in (it.page, it.file("1.0.0"), *it.beside("1.0.0")):
        for headers in ({}, {"range": "bytes=0-99"}):
            answer = it.get(path, **headers)
            assert answer.status_code == 503, (path, answer.text)
            if it.protocol != "cargo":
                assert problem(answer)["code"] == "advisories_unknown"
            assert it.data["1.0.0"][:100] not in answer.content
        (head,) = ask(blind, path, "HEAD")
        assert head.status_code == 503
    assert it.asked("1.0.0") == 0


def test_no_feed_was_ever_read__health_and_the_list_of_feeds_say_so(blind: Cluster) -> None:
    assert "advisories: none are known" in problems(blind)

    def fault() -> str:
        found = orchard_command(blind, "feeds", "list")["items"]
        return str(found[0]["fault"]) if found else ""

    wait_until(lambda: bool(fault()), what="what is wrong with the feed")


def test_feed_goes_away__what_it_told_counts_on_also_after_a_start__and_its_age_is_told(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> None:
    folder = Folder(tmp_path_factory.mktemp("away") / "osv")
    settings = {"ORCHARD_OSV_FEEDS": str(folder.path), "ORCHARD_ADMIN_TOKEN": ADMIN_TOKEN}
    with cluster(tmp_path_factory.mktemp("away-orchard"), upstream, **settings) as running:
        await_feed(running)
        it = new_shelves(running, upstream)("npm")
        it.put({"1.0.0": OLD, "2.0.0": OLD})
        folder.put(of_shelf("MAL-2026-1", it, ranges=[span("1.0.1")]))
        wait_until(lambda: it.get(it.file("2.0.0")).status_code == 403, seconds=60, what="the advisory")
        shutil.rmtree(folder.path)
        wait_until(
            lambda: bool(orchard_command(running, "feeds", "list")["items"][0]["fault"]),
            seconds=60,
            what="the fault",
        )
        assert it.get(it.file("2.0.0")).status_code == 403
        assert it.get(it.file("1.0.0")).content == it.data["1.0.0"]
        assert "what a feed has now is not taken" in problems(running)
        sql(running, "UPDATE osv_feeds SET confirmed_at = now() - interval '3 hours'")
        wait_until(
            lambda: "a feed has said nothing for long" in problems(running), seconds=60, what="its age"
        )
        later = running.start("gateway")
        address = later.base + it.file("2.0.0")
        wait_until(
            lambda: httpx.get(address, timeout=30, trust_env=False).status_code == 403,
            seconds=60,
            what="the same of a gateway that has just started",
        )


def test_why__asks_no_upstream(shelf: NewShelf, orchard: Cluster, upstream: Upstream) -> None:
    """Neither of what nobody has asked for yet, nor of what it knows."""
    known, never = shelf("pypi"), shelf("npm")
    for it in (known, never):
        it.put({"1.0.0": OLD, "2.0.0": OLD})
    assert known.shown() == ["1.0.0", "2.0.0"]
    upstream_page = f"/simple/{known.name}/"
    before = upstream.count(upstream_page)
    assert before
    for of in (f"pkg:pypi/{known.name}", f"pkg:pypi/{known.name}@2.0.0"):
        assert orchard_command(orchard, "why", of)["versions"]
    orchard_command(orchard, "why", f"pkg:npm/{never.name}@1.0.0", fails=True)
    asked = [each.path for each in list(upstream.requests) if never.name in each.path]
    assert asked == []
    assert upstream.count(upstream_page) == before
