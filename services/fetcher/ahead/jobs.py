"""Handlers of the queue `ahead`: guesses run as what they guess, and say what they took from upstream.

Who joins one while it runs gets its end. Who asks before it begins has moved it to the queue of real
requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.fetcher.ahead.guesses import is_fresh
from services.fetcher.files.job import FetchArtifactJob
from services.fetcher.files.run import NotAhead
from services.fetcher.http.response import Count, counting
from services.fetcher.indexes.documents import Documents
from services.fetcher.indexes.job import FetchIndexJob
from shared.queue.context import JobContext
from shared.queue.jobs import FetchArtifact, FetchIndex


@contextmanager
def _counted(ctx: JobContext) -> Iterator[None]:
    count = Count()
    mark = counting.set(count)
    try:
        yield
    finally:
        counting.reset(mark)
        ctx.took(count.size)


class GuessedIndexJob:
    """A page that nobody asked for yet. One that is fresh is left alone."""

    def __init__(self, fetch: FetchIndexJob, documents: Documents) -> None:
        self._fetch = fetch
        self._documents = documents

    async def __call__(self, ctx: JobContext, job: FetchIndex) -> None:
        """Raises as `FetchIndexJob`."""
        head = await self._documents.head(job.protocol, job.identity)
        if head is not None and is_fresh(head, self._fetch.sources_of(job.protocol).revision):
            ctx.done()
            return
        with _counted(ctx):
            await self._fetch.run(job, ctx.generation)
            ctx.done()


class GuessedFileJob:
    """A file that nobody asked for yet."""

    def __init__(self, fetch: FetchArtifactJob) -> None:
        self._fetch = fetch

    async def __call__(self, ctx: JobContext, job: FetchArtifact) -> None:
        """Raises as `FetchArtifactJob`. Ends without an outcome where it would take more than the file: who
        has asked meanwhile asks again."""
        with _counted(ctx):
            try:
                await self._fetch(ctx, job)
            except NotAhead:
                return
