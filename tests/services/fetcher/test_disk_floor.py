"""A disk near its floor: files are refused with the reason, before anybody is asked; pages go on."""

from __future__ import annotations

import pytest

from shared.errors.passing import StoreUnavailable
from tests.services.fetcher.conftest import WHEEL, running_fetcher
from tests.support.builders import build_wheel
from tests.support.upstream import Upstream


async def test_file__less_than_the_floor_is_free__503_with_the_reason_and_no_request(
    environ: dict[str, str], upstream: Upstream
) -> None:
    wheel = build_wheel("demo", "1.0")
    upstream.add_project("demo", {WHEEL: wheel})
    async with running_fetcher(upstream, {**environ, "ORCHARD_MIN_FREE_BYTES": str(2**60)}) as fetcher:
        await fetcher.index()
        with pytest.raises(StoreUnavailable, match="the disk is nearly full") as refused:
            await fetcher.artifact(wheel)
        assert "ORCHARD_MIN_FREE_BYTES" in refused.value.message
        assert upstream.count(f"/files/demo/{WHEEL}") == 0
        assert await fetcher.nothing_stored()
