"""Jobs that services one version back still make are taken and dropped, never buried."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from services.extractor.extraction.retired import drop
from shared.queue.jobs import EXTRACT, DeriveDependencies, Job
from shared.queue.worker import QueueWorker
from tests.services.extractor.conftest import House

ROOT = Path(__file__).parents[4]


class OldDeriveDependencies(Job, frozen=True, tag="derive_dependencies"):
    """The job as the version before made it."""

    queue: ClassVar[str] = EXTRACT
    protocol: str
    project: str
    file_id: str
    filename: str
    sha256: str
    turn: int = 0
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"derive:{self.protocol}:{self.sha256}:{self.turn}"


async def test_job_of_a_retired_kind__is_dropped_and_no_dead_letter(house: House) -> None:
    job = OldDeriveDependencies("maven", "g:a", "1", "a-1.pom", "ab" * 32, turn=3, request_id="r")
    assert await house.queue.enqueue(job)  # type: ignore[arg-type]  # an old service's
    worker = QueueWorker(
        redis=house.queue_redis,
        queue=EXTRACT,
        slots=1,
        handlers={DeriveDependencies: drop},
        address=lambda: "127.0.0.1:1",
        lease_seconds=3.0,
    )
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(30):
        while await house.queue.is_known(job.id):
            await asyncio.sleep(0.01)
    await worker.drain(0)
    await running
    depth = (await house.queue.depths([EXTRACT]))[EXTRACT]
    assert (depth.ready, depth.running, depth.deferred, depth.dead) == (0, 0, 0, 0)


def test_retired_kind__is_made_nowhere_and_its_worker_knows_it() -> None:
    sources = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    users = {each.name for each in sources if "DeriveDependencies" in each.read_text()}
    assert users == {"jobs.py", "retired.py", "compose.py"}
