"""Derivations that lack a document are tried again; those that can never be complete are not."""

from __future__ import annotations

from services.extractor.incomplete import IncompleteSweep
from shared.derivations import DerivationRepository
from shared.protocols.derivation import Derived
from tests.services.extractor.conftest import House


async def test_sweep__only_those_that_lack_a_document__longest_rested_first(house: House) -> None:
    derivations = DerivationRepository(house.database)
    problems = {
        "complete": (),
        "unresolved": ("unresolved: g:a:${v}",),
        "missing": ("unresolved: g:a:${v}", "missing: parent-1.pom"),
    }
    for name, each in problems.items():
        job = await house.keep(f"{name}-1.pom", name.encode(), project=f"g:{name}", file_id="1")
        await derivations.store(job.sha256, Derived(problems=each))

    assert await IncompleteSweep(house.database, house.queue, limit=10).sweep() == 0, "tried a moment ago"
    sweep = IncompleteSweep(house.database, house.queue, limit=10, rest_seconds=0)
    assert await sweep.sweep() == 1
    assert (await house.queue.depths())["extract"].ready == 1
    assert await sweep.sweep() == 1  # coalesced with the one that waits
    assert (await house.queue.depths())["extract"].ready == 1
