"""Kinds of jobs that are no longer enqueued. Services one version back still enqueue them, and old ones are
in the queue: they are taken and dropped, or they would become dead letters. Removed with the next release."""

from __future__ import annotations

from shared.queue.context import JobContext
from shared.queue.jobs import DeriveDependencies
from shared.telemetry.logs import get_logger

log = get_logger()


async def drop(ctx: JobContext, job: DeriveDependencies) -> None:
    """Ends the job without doing anything: nobody reads what it wrote."""
    log.debug("retired_job_dropped", job_id=ctx.job_id, protocol=job.protocol)
