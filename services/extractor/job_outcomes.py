"""How jobs ended that another job has asked for."""

from __future__ import annotations

from shared.clients.queue import JobQueue
from shared.events import Event

CLOCK_SECONDS = 2.0  # how far Redis's clock may be behind ours


async def outcome_of(
    queue: JobQueue, job_id: str, asked_at: float | None, *, seen_generation: int = 0
) -> Event | None:
    """How a job ended since it was asked for (unix seconds), None while it has not, or nobody knows.

    Generations are microseconds of Redis's clock: an older outcome is another request's, one up to
    `seen_generation` was dealt with. Raises `QueueUnavailable`.
    """
    if asked_at is None:
        return None
    claim, event = await queue.read_state(job_id)
    if claim is not None or event is None or event.kind == "live":
        return None
    if event.generation <= seen_generation or event.generation < (asked_at - CLOCK_SECONDS) * 1_000_000:
        return None
    return event
