"""Jobs that are no longer made. Services one version back still enqueue them, and old ones lie in the queue:
taken and dropped, or they would come back as dead letters. Gone with the next release."""

from __future__ import annotations

from shared.clients.queue_context import JobContext
from shared.jobs import DeriveDependencies
from shared.logs import get_logger

log = get_logger()


async def drop(ctx: JobContext, job: DeriveDependencies) -> None:
    """The job is done: nobody reads what it wrote."""
    log.debug("retired_job_dropped", job_id=ctx.job_id, protocol=job.protocol)
