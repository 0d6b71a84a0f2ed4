"""Runs a protocol's `extract` in warm child processes that may die: memory, CPU and time are bounded.

A child serves one artifact at a time and is reused; a breach kills that child alone, and the artifact
is marked `unextractable` with the reason. Reads of a remote store go through the parent (the child
has no network), and the time they take is the store's, not the artifact's.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

import msgspec

from services.extractor.frames import (
    LENGTH,
    MAX_FRAME_BYTES,
    Done,
    FromChild,
    Missing,
    RangeWanted,
    Ready,
    Task,
    decode_from_child,
    framed,
)
from shared.clients.objects import ObjectMissing, ObjectStore
from shared.errors import ShuttingDown
from shared.heartbeat import Pool
from shared.logs import get_logger
from shared.models import Extraction

log = get_logger()

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0  # a loaded machine imports slowly; normally 0.2 s


class Limits(msgspec.Struct, frozen=True):
    """What one artifact may cost."""

    memory_bytes: int = 512 * 1024 * 1024  # address space of a child; Python and its imports take 60 MB
    cpu_seconds: int = 15
    wall_seconds: float = 20.0  # without the time spent waiting for the store
    budget_bytes: int = 256 * 1024 * 1024  # of the artifact as stored
    tasks_per_child: int = 500  # then a fresh one: a parser's leak must not add up
    keep_rss_bytes: int = 256 * 1024 * 1024  # a child that once grew past this is replaced


class Outcome(msgspec.Struct, frozen=True):
    """What came out of one artifact."""

    extraction: Extraction
    raw_metadata: bytes | None
    bytes_read: int


class Breach(Exception):
    """A child broke a limit, or broke down; the message is the reason for people."""


class Sandbox:
    """A pool of `children` processes. Open it, close it; it replaces its dead by itself."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        children: int,
        limits: Limits | None = None,
        protocols: str = "shared.protocols:PROTOCOLS",
    ) -> None:
        """`protocols` names what the children import: module:attribute, a tuple of protocols."""
        self._store = store
        self._protocols = protocols
        self._limits = limits or Limits()
        self._max = children
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._places = asyncio.Semaphore(children)
        self._warming: set[asyncio.Task[None]] = set()
        self._active = 0
        self._closed = False
        self.children_started = 0

    @property
    def pool(self) -> Pool:
        """Busy children of all, for health."""
        return Pool(self._active, self._max)

    def __repr__(self) -> str:
        return f"Sandbox(active={self._active}, max={self._max}, started={self.children_started})"

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
        """What the protocol reads out of a stored artifact; a breach is an outcome, not an error.

        Raises `ObjectMissing` or `StoreUnavailable` when the object cannot be read, `ShuttingDown`
        when closed. Cancellation kills the child.
        """
        path = self._store.local_path(key)
        task = Task(protocol, filename, sha256, size_bytes, str(path.resolve()) if path else "")
        async with self._places:
            self._active += 1
            child = None
            healthy = False
            try:
                child = await self._take()
                answer = await self._converse(child, task, key)
                healthy = self._may_go_on(child, answer)
            except Breach as breach:
                if self._closed:
                    raise ShuttingDown("the extractor is stopping") from None
                log.warning("extraction_breach", sha256=sha256, filename=filename, reason=str(breach))
                refused = Extraction(sha256=sha256, state="unextractable", reason=str(breach))
                return Outcome(refused, None, 0)
            finally:
                self._active -= 1
                await self._give_back(child, healthy=healthy)
        if isinstance(answer, Missing):
            raise ObjectMissing(f"object {key} cannot be read: {answer.reason}")
        return Outcome(answer.extraction, answer.raw_metadata, answer.bytes_read)

    # --- one conversation -------------------------------------------------------------------------

    async def _converse(self, child: _Child, task: Task, key: str) -> Done | Missing:
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
            if isinstance(answer, Done | Missing):
                return answer
            if not isinstance(answer, RangeWanted) or answer.length > MAX_FRAME_BYTES:
                raise Breach("crash: the child spoke out of turn")
            data = await self._store.read(key, answer.start, answer.length)
            message = LENGTH.pack(len(data)) + data

    def _may_go_on(self, child: _Child, answer: Done | Missing) -> bool:
        child.tasks += 1
        if isinstance(answer, Missing):
            return True
        worn = child.tasks >= self._limits.tasks_per_child
        grown = answer.peak_rss_bytes > self._limits.keep_rss_bytes
        return not (worn or grown or answer.exhausted)

    # --- the pool -----------------------------------------------------------------------------------

    async def _take(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            await self._give_back(child, healthy=False, replace=False)
        if self._closed:
            raise ShuttingDown("the extractor is stopping")
        return await self._start()

    async def _give_back(self, child: _Child | None, *, healthy: bool, replace: bool = True) -> None:
        if child is None:
            return
        if healthy and not self._closed:
            self._idle.append(child)
            return
        self._all.discard(child)
        await asyncio.shield(child.kill())
        if replace and not self._closed:
            self._warm()

    async def _start(self) -> _Child:
        self.children_started += 1
        child = await _Child.start(self._protocols, self._limits)
        self._all.add(child)
        try:
            async with asyncio.timeout(_START_SECONDS):
                if not isinstance(await child.listen(), Ready):
                    raise Breach("crash: the child did not start")
        except BaseException as error:
            self._all.discard(child)
            await asyncio.shield(child.kill())
            if isinstance(error, TimeoutError):
                raise Breach("crash: the child did not start in time") from None
            raise
        return child

    def _warm(self) -> None:
        task = asyncio.create_task(self._start_idle(), name="sandbox-warm")
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    async def _start_idle(self) -> None:
        if len(self._all) >= self._max:
            return
        try:
            self._idle.append(await self._start())
        except Breach as breach:
            log.error("sandbox_child_failed", reason=str(breach))


class _Child:
    """One process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self.tasks = 0

    @classmethod
    async def start(cls, protocols: str, limits: Limits) -> _Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.extractor.sandbox_child",
            protocols,
            str(limits.memory_bytes),
            str(limits.cpu_seconds),
            str(limits.budget_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            # Nothing of our environment: it holds the passwords of the stores. One malloc arena, since
            # each reserves 64 MB of address space.
            env={"PYTHONUTF8": "1", "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, message: bytes) -> FromChild:
        """Send a message and wait for the answer. Raises `Breach` when the child died."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # listening tells why
            self._stdin.write(message)
            await self._stdin.drain()
        return await self.listen()

    async def listen(self) -> FromChild:
        """The next message. Raises `Breach` when the child died or talks nonsense."""
        try:
            (length,) = LENGTH.unpack(await self._stdout.readexactly(LENGTH.size))
            if length > MAX_FRAME_BYTES:
                raise Breach("size: the result is too large")
            return decode_from_child(await self._stdout.readexactly(length))
        except asyncio.IncompleteReadError:
            raise Breach(_reason_of_death(await self._process.wait())) from None
        except msgspec.MsgspecError:
            raise Breach("crash: the child sent something unreadable") from None

    async def kill(self) -> None:
        """End the process at once and collect it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._stdin.close()


def _reason_of_death(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "time: used up its CPU seconds"
    if code == -signal.SIGKILL:
        return "memory: killed by the system"  # we await our own kills elsewhere: this was the kernel
    if code < 0:
        return f"crash: signal {-code}"
    return f"crash: ended with code {code}"
