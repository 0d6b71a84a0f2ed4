"""A slow source takes some of the slots for refreshes, never those of the others."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from services.fetcher.indexes import shares
from services.fetcher.indexes.shares import LONGEST_SECONDS, SLOW_SECONDS, SourceShares
from shared.queue.context import Deferred
from shared.queue.jobs import FetchIndex
from tests.services.fetcher.conftest import WHEEL, running_fetcher
from tests.support.upstream import Fault, Upstream

SLOTS = 16


class Turns:
    """Refreshes of sources, by a clock of their own."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.seconds = 0.0
        self.shares = SourceShares(slots, lambda: self.seconds)

    def most(self, source_id: int) -> int:
        """So many more refreshes of a source can begin now; they end at once."""
        with ExitStack() as held:
            for taken in range(100):
                try:
                    held.enter_context(self.shares.turn(source_id))
                except Deferred:
                    return taken
        raise AssertionError("there is no bound")


def test_turns__of_a_quick_source__all_but_an_eighth() -> None:
    turns = Turns()
    assert [turns.most(1), turns.most(1), turns.most(2)] == [14, 14, 14]


def test_turns__of_a_source_that_is_slow_or_was__a_quarter_until_one_was_quick() -> None:
    turns = Turns()
    with turns.shares.turn(1):
        turns.seconds += SLOW_SECONDS + 1
        assert turns.most(1) == SLOTS // 4 - 1
        assert turns.most(2) == 14
    with pytest.raises(Deferred), ExitStack() as held:
        for _ in range(SLOTS // 4 + 1):  # it was slow
            held.enter_context(turns.shares.turn(1))
    assert turns.most(1) == 14


def test_turns__the_more_are_turned_away__the_later_they_look_again() -> None:
    turns = Turns()
    waits = []
    with ExitStack() as held:
        for _ in range(14):
            held.enter_context(turns.shares.turn(1))
        for _ in range(1000):
            with pytest.raises(Deferred) as deferred, turns.shares.turn(1):
                pass
            waits.append(deferred.value.seconds)
    assert max(waits[:5]) < 5 and waits[-1] == LONGEST_SECONDS


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_turns__of_few_slots__at_least_one(slots: int) -> None:
    turns = Turns(slots)
    with turns.shares.turn(1):
        turns.seconds += SLOW_SECONDS + 1
    assert turns.most(1) >= 1


async def test_refreshes__of_a_silent_source__leave_slots_to_another(
    upstream: Upstream, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "LONGEST_SECONDS", 0.2)  # they look again all the time
    own = {
        "ORCHARD_REFRESH_SLOTS": "4",
        "ORCHARD_HTTP_READ_TIMEOUT": "60",
        "ORCHARD_NPM_UPSTREAM": f"{upstream.url}/npm/",
    }
    async with running_fetcher(upstream, environ | own) as fetcher:
        silent = [FetchIndex("pypi", f"simple/slow{number}", background=True) for number in range(8)]
        for number in range(8):
            upstream.add_project(f"slow{number}", {WHEEL: b"PK\x03\x04"})
            upstream.fault(f"/simple/slow{number}/", Fault(silent=True))
        for job in silent:
            await fetcher.queue.enqueue(job)
        while sum(upstream.count(f"/simple/slow{number}/") for number in range(8)) < 3:
            await asyncio.sleep(0.02)  # as many as are given to it
        upstream.put("/npm/quick", b'{"name":"quick","versions":{},"dist-tags":{}}', "application/json")
        await fetcher.ended(FetchIndex("npm", "packument/quick", background=True))
        assert upstream.count("/npm/quick") == 1
        assert sum(upstream.count(f"/simple/slow{number}/") for number in range(8)) == 3
        for number in range(8):
            upstream.heal(f"/simple/slow{number}/")
