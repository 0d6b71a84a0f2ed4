"""Waiting for the jobs of builds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.gateway.serving.ports import Ports
from shared.errors.catalogue import from_value
from shared.errors.passing import DeadlineExceeded
from shared.queue.events import Event
from shared.queue.jobs import AnyJob


async def work_done(
    job: AnyJob, ports: Ports, *, until: Callable[[], Awaitable[bool]], seconds: float
) -> Event:
    """How a job ended well. Raises what it failed with, `DeadlineExceeded`, and what the queue raises."""
    try:
        event = await ports.misses.wait(job, until=until, timeout=seconds)
    except TimeoutError:
        raise DeadlineExceeded(f"{job.name()} was not done within {seconds:.3g} s") from None
    if event.kind == "failed" and event.error is not None:
        raise from_value(event.error)
    return event
