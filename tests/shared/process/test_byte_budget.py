"""A budget in bytes: the sum is bounded, and holders that grow never wait for each other for ever."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors.passing import Overloaded
from shared.process.byte_budget import ByteBudget


async def test_budget__full__others_wait_until_something_is_given_back() -> None:
    budget = ByteBudget(100, "pages")
    with budget.share() as second:
        with budget.share() as first:
            await first.reach(50)
            await second.reach(40)
            growing = asyncio.create_task(second.reach(60))
            await asyncio.sleep(0)
            assert not growing.done()
        await growing
        assert budget.used_bytes == 60
    assert budget.used_bytes == 0


@pytest.mark.parametrize("large", [50, 51, 100, 400])
async def test_budget__one_large_holder__half_is_left_for_the_others(large: int) -> None:
    budget = ByteBudget(100, "pages", wait_seconds=0.01)
    with budget.share() as first, budget.share() as second, budget.share() as third:
        await first.reach(large)
        await second.reach(30)
        await third.reach(20)
        with pytest.raises(Overloaded, match="pages"):
            await third.reach(21)


async def test_budget__all_hold_a_part_and_want_more__the_oldest_goes_on() -> None:
    budget = ByteBudget(100, "pages", wait_seconds=0.01)
    with budget.share() as first, budget.share() as second:
        await first.reach(50)
        await second.reach(50)
        with pytest.raises(Overloaded, match="pages"):
            await second.reach(60)
        await first.reach(90)
        assert budget.used_bytes == 140


async def test_budget__one_owner_has_its_part__another_gets_the_rest() -> None:
    budget = ByteBudget(100, "bodies", owner_bytes=50)
    with budget.share("a") as first, budget.share("a") as second, budget.share("b") as other:
        await first.reach(40)
        with pytest.raises(Overloaded, match="this client"):
            await second.reach(20)
        await other.reach(50)
