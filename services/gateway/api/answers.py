"""Resolved graphs and locks as the gateway answers them: stored ones at once, others by a job that is waited
for."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec
from litestar import Response

from services.gateway.api.types import EnsureProgress, ResolutionProgress
from services.gateway.misses.waiter import MissWaiter
from shared.errors import EnsureNotFound, OrchardError, ResolutionNotFound
from shared.errors.catalogue import from_value
from shared.errors.passing import EnsureIncomplete, UpstreamUnavailable
from shared.judging.kept import BlockedGraphs
from shared.queue.jobs import Ensure, Resolve
from shared.resolving.answers import KeptAnswers, KeptLocks, KeptResolutions

RETRY_AFTER_SECONDS = 1
ENSURE_WAITS_SECONDS = 2.0  # short, so that clients can show progress

HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}

J = TypeVar("J", bound=Resolve | Ensure)
P = TypeVar("P", ResolutionProgress, EnsureProgress)


class Answers(ABC, Generic[J, P]):
    """Answers one kind of job. Raises `Blocked` for an answer that names something blocked."""

    def __init__(
        self, kept: KeptAnswers[J], *, graphs: BlockedGraphs, misses: MissWaiter, wait_seconds: float
    ) -> None:
        self._kept = kept
        self._graphs = graphs
        self._misses = misses
        self._wait_seconds = wait_seconds

    @staticmethod
    @abstractmethod
    def not_there(job: J) -> OrchardError:
        """Why a job that is done left no answer."""

    @staticmethod
    @abstractmethod
    def unknown(key: str) -> OrchardError:
        """The error for a key under which nothing is stored or running."""

    @abstractmethod
    async def _shown(self, saved: bytes | None, key: str, location: str) -> P:
        """The saved state of a job in progress, as a body for those who wait."""

    async def answer(self, job: J, *, location: str) -> bytes | P:
        """The stored answer, or that of a job enqueued for it; its progress if that takes longer than a
        client waits.

        Raises what the job failed with, and passing errors.
        """
        if not job.refresh:
            body = await self._find([job])
            if body is not None:
                return body

        async def there() -> bool:
            return not job.refresh and await self._find([job], direct=True) is not None

        try:
            event = await self._misses.wait(job, until=there, timeout=self._wait_seconds)
        except TimeoutError:
            return await self._progress(job.key, location)
        if event.kind == "failed":
            raise from_value(event.error) if event.error else UpstreamUnavailable("its job failed")
        body = None if job.refresh else await self._find([job], direct=True)
        if body is None and event.generation:
            body = await self._ended([job])
        if body is None and job.refresh:  # last: the answer that is being replaced may name something blocked
            body = await self._find([job], direct=True)
        if body is None:
            raise self.not_there(job)
        return body

    async def by_key(self, jobs: Sequence[J], location: str) -> bytes | P:
        """The answer or the progress under a key, without starting a job. `jobs`: those that may have it.

        Raises what a job failed with just now, and the kind's own error where nothing is known.
        """
        body = await self._find(jobs)
        if body is not None:
            return body
        # The queue is asked: a saved state may belong to a job that was lost.
        if any(await asyncio.gather(*(self._misses.is_known(job.id) for job in jobs))):
            return await self._progress(jobs[0].key, location)
        body = await self._ended(jobs)
        if body is None:
            body = await self._find(jobs, direct=True)  # it may have ended between the two reads
        if body is not None:
            return body
        for job in jobs:
            failed = await self._misses.failure(job.id)
            if failed is not None and failed.error is not None:
                raise from_value(failed.error)
        raise self.unknown(jobs[0].key)

    async def _find(self, jobs: Sequence[J], *, direct: bool = False) -> bytes | None:
        places = [self._kept.place(job) for job in jobs]
        body = await self._kept.find(places, jobs[0].key, direct=direct)
        if body is not None:
            await self._graphs.check(body)
        return body

    async def _ended(self, jobs: Sequence[J]) -> bytes | None:
        for job in jobs:
            ended = await self._kept.ended(self._kept.place(job), job.key)
            if ended is not None and ended.error is not None:
                raise from_value(ended.error)
            if ended is not None and ended.body:
                await self._graphs.check(ended.body)
                return ended.body
        return None

    async def _progress(self, key: str, location: str) -> P:
        return await self._shown(await self._kept.progress(key), key, location)


class _Resolving(msgspec.Struct):
    """The part of a resolution's saved state that is shown."""

    steps: int = 0
    known: int = 0
    wanted: int = 0


class _Ensuring(msgspec.Struct):
    """The part of an ensure's saved state that is shown."""

    phase: str = "resolving"
    files_known: int = 0
    files_ready: int = 0
    bytes_known: int = 0
    bytes_ready: int = 0
    documents: int = 0
    resolving: list[str] = []


class Resolutions(Answers[Resolve, ResolutionProgress]):
    """Resolved graphs."""

    @staticmethod
    def not_there(job: Resolve) -> OrchardError:
        return UpstreamUnavailable("the resolution lacks something for a passing cause; ask again")

    @staticmethod
    def unknown(key: str) -> OrchardError:
        return ResolutionNotFound(f"no resolution has the key {key}")

    async def _shown(self, saved: bytes | None, key: str, location: str) -> ResolutionProgress:
        state = msgspec.json.decode(saved, type=_Resolving) if saved else _Resolving()
        return ResolutionProgress(
            status="working",
            key=key,
            location=location,
            retry_after_seconds=RETRY_AFTER_SECONDS,
            steps=state.steps,
            documents_known=state.known,
            documents_wanted=state.wanted,
        )


class Ensures(Answers[Ensure, EnsureProgress]):
    """Locks of ensure files."""

    def __init__(
        self,
        kept: KeptLocks,
        resolutions: KeptResolutions,
        *,
        graphs: BlockedGraphs,
        misses: MissWaiter,
        wait_seconds: float,
    ) -> None:
        wait_seconds = min(ENSURE_WAITS_SECONDS, wait_seconds)
        super().__init__(kept, graphs=graphs, misses=misses, wait_seconds=wait_seconds)
        self._resolutions = resolutions

    @staticmethod
    def not_there(job: Ensure) -> OrchardError:
        return EnsureIncomplete("something is missing for a passing cause; ask again")

    @staticmethod
    def unknown(key: str) -> OrchardError:
        return EnsureNotFound(f"no ensure has the key {key}")

    async def _shown(self, saved: bytes | None, key: str, location: str) -> EnsureProgress:
        state = msgspec.json.decode(saved, type=_Ensuring) if saved else _Ensuring()
        known, wanted = state.documents, 0
        if state.resolving:
            for each in await self._resolutions.progress_of(state.resolving):
                resolving = msgspec.json.decode(each, type=_Resolving)
                known, wanted = known + resolving.known, wanted + resolving.wanted
        return EnsureProgress(
            status="working",
            key=key,
            location=location,
            retry_after_seconds=RETRY_AFTER_SECONDS,
            phase=state.phase,
            files_known=state.files_known,
            files_ready=state.files_ready,
            bytes_known=state.bytes_known,
            bytes_ready=state.bytes_ready,
            documents_known=known,
            documents_wanted=wanted,
        )


def answered(answer: bytes | ResolutionProgress | EnsureProgress) -> Response[bytes]:
    """200 with a stored answer, or 202 with its progress and where to ask again."""
    if isinstance(answer, bytes):
        return Response(answer, status_code=200, media_type="application/json", headers=HEADERS)
    headers = {
        **HEADERS,
        "cache-control": "no-store",
        "location": answer.location,
        "retry-after": str(answer.retry_after_seconds),
    }
    body = msgspec.json.encode(answer)
    return Response(body, status_code=202, media_type="application/json", headers=headers)
