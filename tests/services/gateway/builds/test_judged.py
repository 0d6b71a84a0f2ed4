"""What a build has goes out by what the rules of now came to, never by what it recorded of them."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.builds.judged import as_judged_now
from shared.errors import OrchardError, TooYoung
from shared.errors.passing import DeadlineExceeded, StoreUnavailable
from shared.models import StoredFile
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, DateArtifact
from tests.support.ports import MemoryWorld

FILE = Resource("pypi", "artifact", "a", project="a", file_id="0" * 64, filename="a-1.whl")


class Judge:
    """Admits what was judged under the rules in force."""

    def admits(self, resource: Resource, facts: StoredFile) -> bool:
        return facts.judged == "stamp|"


@pytest.fixture
def world() -> MemoryWorld:
    made = MemoryWorld()
    made.ports = msgspec.structs.replace(made.ports, judge=Judge())
    return made


def recorded(world: MemoryWorld, row: str | None) -> StoredFile:
    """As a list has it, admitted when it was sealed. `row`: what its row, which no cache has, says now."""
    stored = msgspec.structs.replace(world.store(FILE, b"a wheel"), judged="stamp|")
    del world.facts.facts[FILE.file]
    if row is not None:
        world.facts.rows[FILE.file] = msgspec.structs.replace(stored, judged=row)
    return stored


async def judged(world: MemoryWorld, stored: StoredFile) -> StoredFile:
    return await as_judged_now(stored, FILE, world.ports, "")


async def test_row_says_so__admitted_and_nobody_is_asked(world: MemoryWorld) -> None:
    assert (await judged(world, recorded(world, "stamp|"))).judged == "stamp|"
    assert world.misses.waited == []


async def test_row_was_emptied_under_the_same_rules__judged_anew(world: MemoryWorld) -> None:
    stored = recorded(world, "")

    async def run(job: AnyJob) -> Event:
        world.facts.rows[FILE.file] = stored
        return Event(job.id, "done", 1)

    world.misses.run = run
    assert (await judged(world, stored)).judged == "stamp|"
    assert [job.name() for job in world.misses.waited] == ["date_artifact"]
    assert all(isinstance(job, DateArtifact) and job.alone for job in world.misses.waited)


async def test_other_bytes_stand_under_its_name__held_back_for_good_and_nobody_is_asked(
    world: MemoryWorld,
) -> None:
    stored = recorded(world, "")
    world.facts.rows[FILE.file] = msgspec.structs.replace(stored, sha256="f" * 64, judged="stamp|")
    with pytest.raises(TooYoung, match="other bytes stand under its name"):
        await judged(world, stored)
    assert world.misses.waited == []


@pytest.mark.parametrize(("row", "error"), [("", DeadlineExceeded), (None, StoreUnavailable)])
async def test_nobody_can_tell__503(world: MemoryWorld, row: str | None, error: type[OrchardError]) -> None:
    with pytest.raises(error):
        await judged(world, recorded(world, row))
