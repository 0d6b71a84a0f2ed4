"""Runs a protocol's `extract` in warm child processes that may die: memory, CPU and time are bounded.

A child serves one artifact at a time and is reused; a breach kills that child alone, and the artifact
is marked `unextractable` with the reason. Reads of a remote store go through the parent (the child
has no network), and the time they take is the store's, not the artifact's.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from services.extractor.extraction.sandbox.child import Breach, Child, Limits
from services.extractor.extraction.sandbox.frames import (
    LENGTH,
    MAX_FRAME_BYTES,
    Done,
    RangeWanted,
    Ready,
    Task,
    framed,
)
from shared.errors.passing import ObjectMissing, PassingError, ShuttingDown
from shared.models import BuildNeeds, Extraction
from shared.objects.port import ObjectStore
from shared.objects.verify import Verifier
from shared.telemetry.logs import get_logger

log = get_logger()

_START_SECONDS = 30.0  # a loaded machine imports slowly; normally 0.2 s


class Outcome(msgspec.Struct, frozen=True):
    """The result of one extraction."""

    extraction: Extraction
    raw_metadata: bytes | None
    bytes_read: int


class Sandbox:
    """A pool of `children` processes, from `open` to `aclose`; dead ones are replaced."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        children: int,
        limits: Limits | None = None,
        protocols: str = "shared.protocols:PROTOCOLS",
        verifier: Verifier | None = None,
    ) -> None:
        """`protocols` names what the children import: module:attribute, a tuple of protocols."""
        self._store = store
        self._verifier = verifier
        self._protocols = protocols
        self._limits = limits or Limits()
        self._max = children
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._places = asyncio.Semaphore(children)
        self._warming: set[asyncio.Task[None]] = set()
        self.active = 0  # children at work
        self._closed = False
        self.confined: Ready | None = None  # once a child has started
        self.children_started = 0

    @property
    def lacks(self) -> tuple[str, ...]:
        """Confinements that the kernel lacks, for health; () before the first child started."""
        return self.confined.lacks if self.confined is not None else ()

    def __repr__(self) -> str:
        return f"Sandbox(active={self.active}, max={self._max}, started={self.children_started})"

    async def open(self) -> None:
        """Start warming the children; does not wait for them."""
        for _ in range(self._max):
            self._warm()

    async def aclose(self) -> None:
        """Kill all children; extractions under way raise `ShuttingDown`."""
        self._closed = True
        for task in list(self._warming):
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        await asyncio.gather(*(child.kill() for child in list(self._all)), return_exceptions=True)
        self._all.clear()
        self._idle.clear()

    async def extract(
        self, *, protocol: str, filename: str, sha256: str, key: str, size_bytes: int
    ) -> Outcome:
        """What the protocol extracts from a stored artifact; a breach is an outcome, not an error.

        Raises `ObjectMissing` or `StoreUnavailable` when the object cannot be read, `PassingError` when
        no child can be started, `ShuttingDown` when closed. Cancellation kills the child.
        """
        done = await self._run(Task(protocol, filename, sha256, size_bytes, handed=False), key)
        return Outcome(done.extraction, done.raw_metadata, done.bytes_read)

    async def build_needs(
        self, *, protocol: str, filename: str, sha256: str, key: str, size_bytes: int
    ) -> BuildNeeds:
        """What the protocol finds that a stored source archive must be built with; after a breach why nobody
        can tell. Raises as `extract`."""
        done = await self._run(
            Task(protocol, filename, sha256, size_bytes, handed=False, wanted="build"), key
        )
        return done.needs or BuildNeeds(reason=done.extraction.reason)

    async def inner_lock(
        self, *, protocol: str, filename: str, sha256: str, key: str, size_bytes: int
    ) -> Outcome:
        """The lock that a stored package brings, as `raw_metadata`; after a breach the reason. Raises as
        `extract`."""
        done = await self._run(Task(protocol, filename, sha256, size_bytes, handed=False, wanted="lock"), key)
        return Outcome(done.extraction, done.raw_metadata, done.bytes_read)

    async def _run(self, task: Task, key: str) -> Done:
        path = self._store.local_path(key)
        # From a bucket a few ranges are read; to hash them would be to read all.
        if path is not None and self._verifier and not await self._verifier.is_intact(key, task.size_bytes):
            raise ObjectMissing(f"object {key} is missing or damaged")
        task = msgspec.structs.replace(task, handed=path is not None)
        async with self._places:
            self.active += 1
            child = None
            healthy = False
            try:
                child = await self._take()
                if path is not None:
                    child.hand_over(path)
                answer = await self._converse(child, task, key)
                healthy = self._may_go_on(child, answer)
            except OSError as error:  # opening the file, before the child was sent a task
                healthy = True
                raise ObjectMissing(f"object {key} cannot be read: {error.strerror}") from error
            except Breach as breach:
                if self._closed:
                    raise ShuttingDown("the extractor is stopping") from None
                log.warning(
                    "extraction_breach", sha256=task.sha256, filename=task.filename, reason=str(breach)
                )
                refused = Extraction(sha256=task.sha256, state="unextractable", reason=str(breach))
                return Done(refused, None, 0, 0)
            finally:
                self.active -= 1
                await self._give_back(child, healthy=healthy)
        return answer

    # --- one conversation -------------------------------------------------------------------------

    async def _converse(self, child: Child, task: Task, key: str) -> Done:
        left_seconds = self._limits.wall_seconds
        message = framed(task)
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(left_seconds):
                    answer = await child.ask(message)
            except TimeoutError:
                raise Breach(f"time: not done after {self._limits.wall_seconds:g} s") from None
            left_seconds -= time.monotonic() - started
            if isinstance(answer, Done):
                return answer
            if not isinstance(answer, RangeWanted) or answer.length > MAX_FRAME_BYTES:
                raise Breach("crash: the child spoke out of turn")
            data = await self._store.read(key, answer.start, answer.length)
            message = LENGTH.pack(len(data)) + data

    def _may_go_on(self, child: Child, answer: Done) -> bool:
        child.tasks += 1
        worn = child.tasks >= self._limits.tasks_per_child
        grown = answer.peak_rss_bytes > self._limits.keep_rss_bytes
        return not (worn or grown or answer.exhausted)

    # --- the pool -----------------------------------------------------------------------------------

    async def _take(self) -> Child:
        while not self._closed:
            if self._idle:
                child = self._idle.pop()
                if child.alive:
                    return child
                await self._give_back(child, healthy=False, replace=False)
            elif self._warming:
                await asyncio.wait(self._warming, return_when=asyncio.FIRST_COMPLETED)
            else:
                return await self._start()
        raise ShuttingDown("the extractor is stopping")

    async def _give_back(self, child: Child | None, *, healthy: bool, replace: bool = True) -> None:
        if child is None:
            return
        if healthy and not self._closed:
            self._idle.append(child)
            return
        self._all.discard(child)
        await asyncio.shield(child.kill())
        if replace and not self._closed:
            self._warm()

    async def _start(self) -> Child:
        """A child that is ready. Raises `PassingError`: that is no artifact's fault."""
        self.children_started += 1
        try:
            child = await Child.start(self._protocols, self._limits)
        except OSError as error:
            raise PassingError(f"no process can be started: {error.strerror}") from error
        self._all.add(child)
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await child.listen()
                if not isinstance(ready, Ready):
                    raise Breach("it spoke out of turn")
                self._tell(ready)
        except BaseException as error:
            self._all.discard(child)
            await asyncio.shield(child.kill())
            if isinstance(error, Breach | TimeoutError):
                raise PassingError(f"a child process does not start: {error or 'too slow'}") from error
            raise
        return child

    def _tell(self, ready: Ready) -> None:
        """Log once which confinements hold the children, and which the kernel lacks."""
        if self.confined is not None:
            return
        self.confined = ready
        event, say = "sandbox_confined", log.info
        if ready.lacks:
            event, say = "sandbox_confined_in_part", log.warning
        say(event, **msgspec.structs.asdict(ready))

    def _warm(self) -> None:
        task = asyncio.create_task(self._start_idle(), name="sandbox-warm")
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    async def _start_idle(self) -> None:
        if len(self._all) >= self._max:
            return
        try:
            self._idle.append(await self._start())
        except PassingError as error:  # the next extraction starts one, and raises the error
            log.error("sandbox_child_failed", reason=error.message)
