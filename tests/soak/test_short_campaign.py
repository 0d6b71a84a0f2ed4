"""The short form of `make soak`: faults of several kinds, a power cut, kill points, the proof at the end."""

from __future__ import annotations

import pytest

from tests.soak.__main__ import own_disk
from tests.soak.campaign import Campaign
from tests.soak.faults import FAULTS
from tests.soak.system import System
from tests.support.upstream import Upstream

SEED = 20261128
NAMES = (
    "killed: fetcher",
    "frozen: redis-cache",
    "connections cut: redis-queue",
    "database restored from a backup",
    "objects one byte short",
    "upstream: third of its answers cut at once",
    "out of descriptors: gateway",
    "wall clock -3600 s",
)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_short_campaign__no_wrong_byte_no_silence_no_odd_status_and_nothing_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = [each for each in FAULTS if each.name in NAMES]
    assert len(chosen) >= len(NAMES) - 1
    lines: list[str] = []
    with own_disk() as folder, Upstream() as upstream:
        system = System(folder, upstream)
        campaign = Campaign(system, upstream, SEED, lines.append, clients=8)
        try:
            await campaign.run(faults=chosen, rounds=1, power_cuts=1, points=2)
        finally:
            system.stop()
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert campaign.violations == []
    assert campaign.requests["right"] > 1000
