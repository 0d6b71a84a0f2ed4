"""What is fetched and verified of a list: the newest, and what is asked for. What fails leaves it unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from services.fetcher.http.response import FetchedBody
from services.fetcher.provenance import checking
from services.fetcher.provenance.checking import MOST_AT_ONCE, Provenances
from services.fetcher.provenance.items import Item
from services.fetcher.provenance.verify import Order
from shared.errors import TooLarge
from shared.errors.passing import UpstreamUnavailable
from shared.models import UpstreamSource
from shared.policy.age import Dated, Seen
from shared.policy.evidence import Evidence, Publisher
from shared.protocols import protocol_named
from shared.settings import Settings

PYPI = protocol_named("pypi")
OURS = Evidence("verified", Publisher("GitHub", "us/lib", "release.yml"))


def listed(count: int) -> list[Dated]:
    """The last is the newest."""
    return [
        Dated(f"demo-1.{n}.tar.gz", f"1.{n}", 1e9 + n, "", True, f"https://index.example/{n}", f"{n:064x}")
        for n in range(count)
    ]


class World:
    """An upstream, a process that verifies, and rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, entries: list[Dated]) -> None:
        self.asked: list[str] = []
        self.stored: dict[str, Evidence] = {}
        self.fails: dict[str, Exception] = {}
        self.dies: Callable[[tuple[Item, ...]], bool] = lambda items: False
        self.orders: list[int] = []
        self.is_slow = False
        documents = SimpleNamespace(dated=lambda *_, **__: entries, attested=PYPI.documents.attested)
        documents.signed_text = PYPI.documents.signed_text
        self.protocol: Any = SimpleNamespace(name="pypi", grammar=PYPI.grammar, documents=documents)
        source = UpstreamSource(id=7, protocol="pypi", name="central", url="https://index.example/simple/")
        sources: Any = SimpleNamespace(current=lambda name: SimpleNamespace(sources=(source,)))
        threads: Any = SimpleNamespace(run=asyncio.to_thread)
        this: Any = self
        stores: Any = SimpleNamespace(artifacts=self, threads=threads, settings=Settings())
        self.provenances = Provenances(this, sources, stores)
        monkeypatch.setattr(checking, "_answers", self.answers)

    async def known(self, seen: Seen | None = None, wanted: str = "") -> Mapping[str, Evidence]:
        seen = seen or Seen(1.0, source="central")
        return (await self.provenances.known(self.protocol, "demo", None, seen, 7, wanted)).evidence

    async def fetch(self, source: UpstreamSource, url: str, **_: Any) -> FetchedBody:
        self.asked.append(url.rpartition("/")[2])
        if self.asked[-1] in self.fails:
            raise self.fails[self.asked[-1]]
        return FetchedBody(200, {}, url, b"{}")

    async def note_seen(self, protocol: str, project: str, change: Callable[[Seen | None], Seen]) -> Seen:
        return change(None)

    async def store_evidence(self, protocol: str, project: str, evidence: Mapping[str, Evidence]) -> None:
        self.stored.update(evidence)

    async def answers(self, order: Order) -> list[Evidence] | None:
        self.orders.append(len(order.items))
        if self.is_slow:
            return []
        return None if self.dies(order.items) else [OURS for _ in order.items]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], World]:
    return lambda count: World(monkeypatch, listed(count))


async def test_list__the_newest_at_once__the_rest_the_next_time(world: Callable[[int], World]) -> None:
    it = world(MOST_AT_ONCE + 3)
    found = await it.known()
    assert {int(each) for each in it.asked} == set(range(3, MOST_AT_ONCE + 3))
    assert {each.status for each in found.values()} == {"verified"}
    assert it.stored == found
    await it.known(Seen(1.0, source="central", evidence=dict(found)))
    assert sorted(int(each) for each in it.asked[MOST_AT_ONCE:]) == [0, 1, 2]


async def test_file_that_is_asked_for__is_among_the_first(world: Callable[[int], World]) -> None:
    it = world(MOST_AT_ONCE + 3)
    await it.known(wanted="demo-1.0.tar.gz")
    assert "0" in it.asked


async def test_what_cannot_be_fetched__is_unknown__and_not_asked_for_at_once_again(
    world: Callable[[int], World],
) -> None:
    it = world(2)
    it.fails["0"] = UpstreamUnavailable("away")
    found = await it.known()
    assert list(found) == [f"{1:064x}"]
    await it.known(Seen(1.0, source="central", evidence=dict(found)))
    assert sorted(it.asked) == ["0", "1"]


async def test_what_is_too_large__is_false(world: Callable[[int], World]) -> None:
    it = world(1)
    it.fails["0"] = TooLarge("large")
    assert [each.status for each in (await it.known()).values()] == ["failed"]
    assert it.orders == []


async def test_process_that_dies_of_one__the_others_are_verified_without_it(
    world: Callable[[int], World],
) -> None:
    it = world(3)
    it.dies = lambda items: any(int(each.digest, 16) == 1 for each in items)
    found = await it.known()
    assert [found[f"{n:064x}"].status for n in range(3)] == ["verified", "failed", "verified"]
    assert it.orders == [3, 1, 1, 1]


async def test_process_that_is_slow__nothing_is_known(world: Callable[[int], World]) -> None:
    it = world(2)
    it.is_slow = True
    assert await it.known() == {}
    assert it.stored == {}


async def test_what_was_verified__is_not_asked_for_again_but_under_another_root(
    world: Callable[[int], World],
) -> None:
    it = world(1)
    found = await it.known()
    again = world(1)
    await again.known(Seen(1.0, source="central", evidence=dict(found)))
    assert again.asked == []
    old = {digest: Evidence("verified", OURS.publisher, root="another") for digest in found}
    await again.known(Seen(1.0, source="central", evidence=old))
    assert again.asked == ["0"]


async def test_source_that_is_gone__nothing_is_asked(world: Callable[[int], World]) -> None:
    it = world(1)
    seen = await it.provenances.known(it.protocol, "demo", None, Seen(1.0, source="none"), None)
    assert (seen.evidence, it.asked) == ({}, [])
