"""What is fetched and verified of a list: the newest, and what is asked for. What fails leaves it unknown."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from services.fetcher.http.response import FetchedBody
from services.fetcher.provenance import checking
from services.fetcher.provenance.checking import (
    FAILED_AGAIN_SECONDS,
    LARGEST_BYTES,
    MOST_AT_ONCE,
    Provenances,
)
from services.fetcher.provenance.items import Item
from services.fetcher.provenance.verify import Order
from shared.errors import TooLarge
from shared.errors.passing import UpstreamUnavailable
from shared.models import UpstreamSource
from shared.policy.age import Dated, Seen
from shared.policy.evidence import Evidence, Publisher
from shared.policy.trust import RECHECK_SECONDS
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

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, entries: list[Dated], keys: tuple[str, ...] = ()
    ) -> None:
        self.asked: list[str] = []
        self.stored: dict[str, Evidence] = {}
        self.fails: dict[str, Exception] = {}
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"{}", {})
        self.items: list[Item] = []
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
        stores: Any = SimpleNamespace(artifacts=self, threads=threads, settings=Settings(registry_keys=keys))
        self.provenances = Provenances(this, sources, stores)
        monkeypatch.setattr(checking, "_answers", self.answers)

    async def known(
        self, seen: Seen | None = None, wanted: str = "", project: str = "demo"
    ) -> Mapping[str, Evidence]:
        seen = seen or Seen(1.0, source="central")
        return (await self.provenances.known(self.protocol, project, None, seen, 7, wanted)).evidence

    async def fetch(self, source: UpstreamSource, url: str, **_: Any) -> FetchedBody:
        self.asked.append(url.rpartition("/")[2])
        if self.asked[-1] in self.fails:
            raise self.fails[self.asked[-1]]
        status, body, headers = self.answer
        return FetchedBody(status, headers, url, body)

    async def note_seen(self, protocol: str, project: str, change: Callable[[Seen | None], Seen]) -> Seen:
        return change(None)

    async def store_evidence(
        self, protocol: str, project: str, evidence: Mapping[str, Evidence]
    ) -> Mapping[str, Evidence]:
        self.stored.update(evidence)
        return evidence

    async def answers(self, order: Order) -> list[Evidence] | None:
        self.orders.append(len(order.items))
        self.items += order.items
        if self.is_slow:
            return []
        return None if self.dies(order.items) else [_of(each) for each in order.items]


def _of(item: Item) -> Evidence:
    made = OURS if item.document is not None else Evidence("unknown")
    return msgspec.structs.replace(made, signature="failed" if item.signatures else "")


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


async def test_body_that_is_coded__is_decoded_within_a_bound(world: Callable[[int], World]) -> None:
    for body, status, documents in (
        (b"{}", "verified", [b"{}"]),
        (b" " * (LARGEST_BYTES + 1), "failed", []),
    ):
        it = world(1)
        it.answer = (200, gzip.compress(body), {"content-encoding": "gzip"})
        assert [each.status for each in (await it.known()).values()] == [status]
        assert [each.document for each in it.items] == documents


async def test_body_that_is_cut__is_unknown(world: Callable[[int], World]) -> None:
    it = world(1)
    it.answer = (200, gzip.compress(b"{}" * 99)[:-9], {"content-encoding": "gzip"})
    assert (await it.known(), it.orders) == ({}, [])


async def test_what_a_project_cannot_have_now__another_asks_for(world: Callable[[int], World]) -> None:
    """Rows are of projects."""
    it = world(1)
    it.answer = (503, b"", {})
    for project in ("demo", "demo", "other"):
        await it.known(project=project)
    assert it.asked == ["0", "0"]


@pytest.mark.parametrize(
    ("fails", "answer", "status", "again"),
    [
        (UpstreamUnavailable("away"), 200, "unknown", RECHECK_SECONDS / 2),
        (None, 404, "unknown", RECHECK_SECONDS / 2),
        (TooLarge("large"), 200, "failed", FAILED_AGAIN_SECONDS),
        (None, 200, "verified", FAILED_AGAIN_SECONDS),
    ],
)
async def test_signature__is_verified_whatever_becomes_of_the_provenance(
    monkeypatch: pytest.MonkeyPatch, fails: Exception | None, answer: int, status: str, again: float
) -> None:
    (entry,) = listed(1)
    it = World(monkeypatch, [msgspec.structs.replace(entry, signatures=(("key", "sig"),))], ("keys.json",))
    it.answer = (answer, b"{}", {})
    if fails is not None:
        it.fails["0"] = fails
    before = time.monotonic()
    found = await it.known()
    assert [(each.status, each.signature) for each in found.values()] == [(status, "failed")]
    assert it.stored == found
    (until,) = it.provenances._tried._entries.values()
    assert before + again <= until <= time.monotonic() + again


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
