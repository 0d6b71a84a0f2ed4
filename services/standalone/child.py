"""One supervised process: started, watched until ready, started again when it dies, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from services.standalone.guard import Guard
from services.standalone.output import say
from services.standalone.processes import Launch, describe_exit, last_lines, signal_group, size_of, spawn
from shared.process.periodic import Backoff

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 15.0
STEADY_SECONDS = 30.0  # a child that ran this long starts with the shortest backoff again
POLL_SECONDS = 0.05
PROBE_SECONDS = 5.0  # between two looks whether a child still answers
SILENT_PROBES = 6  # so many without an answer, and it is taken for frozen; twice as many while it starts


async def _always() -> bool:
    return True


class StartFailed(Exception):
    """Orchard cannot start; the message is for the terminal, its first line says why."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A row of the supervisor's table."""

    name: str
    launch: Callable[[], Launch]  # called again for every restart
    ready: Callable[[int], Awaitable[bool]]  # given the pid
    stop_signal: signal.Signals = signal.SIGTERM
    ready_seconds: float = 60.0
    alive: Callable[[], Awaitable[bool]] = _always  # whether it answers at all, with success or not
    recover: Callable[[str], str] = lambda said: ""  # see EmbeddedServer.recover


class Child:
    """The process of one `ChildSpec`, over all its restarts."""

    def __init__(self, spec: ChildSpec, log: Path, guard: Guard) -> None:
        self.spec = spec
        self.log = log
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._log_start = 0  # what is before it was written by an earlier process

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises `StartFailed`."""
        began = time.monotonic()
        process = self._spawn()
        while not await self.spec.ready(process.pid):
            if process.poll() is not None:
                self._clear(process)
                if time.monotonic() - began < self.spec.ready_seconds and self._recovered():
                    process = self._spawn()
                    continue
                raise StartFailed(self._explain(describe_exit(process.returncode)))
            if time.monotonic() - began > self.spec.ready_seconds:
                raise StartFailed(self._explain(f"is not ready after {self.spec.ready_seconds:.0f} s"))
            await asyncio.sleep(POLL_SECONDS)
        self._keeper = asyncio.create_task(self._keep(process), name=f"keep {self.spec.name}")

    async def finish(self) -> None:
        """Start it and wait for its end, for a job such as migrations. Raises `StartFailed`."""
        process = self._spawn()
        await ended(process)
        self._clear(process)
        if process.returncode != 0:
            raise StartFailed(self._explain(describe_exit(process.returncode)))

    def ask_to_stop(self) -> None:
        """Send the stop signal; from now on it is not started again."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(self.spec.stop_signal)

    async def stop(self, deadline: float) -> None:
        """Wait for its end until `deadline` (event loop time), then kill it and all it started."""
        if not self._stopping.is_set():
            self.ask_to_stop()
        process = self._process
        if process is not None:
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(ended(process), max(left, 0.01))
            except TimeoutError:
                say(f"{self.spec.name} did not stop in time and is killed")
            self._clear(process)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        launch = self.spec.launch()
        self._log_start = size_of(self.log)
        try:
            process = spawn(
                launch,
                log=self.log,
                death_signal=self.spec.stop_signal,
                announce_fd=self._guard.announce_fd,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StartFailed(f"{self.spec.name} cannot be executed: {error}") from error
        self._guard.started(process.pid)
        self._process = process
        return process

    def _clear(self, process: subprocess.Popen[bytes]) -> None:
        """Whatever a dead child had started ends with it."""
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._guard.ended(process.pid)

    async def _keep(self, process: subprocess.Popen[bytes]) -> None:
        backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        while True:
            began = time.monotonic()
            await self._until_over(process)
            if self._stopping.is_set():
                return
            self._clear(process)
            if time.monotonic() - began > STEADY_SECONDS:
                backoff.reset()
            pause = backoff.pause()
            what = f"{self.spec.name} {describe_exit(process.returncode)}"
            say(f"{what}; starting it again in {pause:.1f} s (log: {self.log})")
            self._recovered()
            await asyncio.sleep(pause)
            if self._stopping.is_set():
                return
            try:
                process = self._spawn()
            except StartFailed as error:
                say(str(error))

    async def _until_over(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for its end, and end it if it is frozen: it would never be started again otherwise."""
        over = asyncio.create_task(ended(process))
        silent = -SILENT_PROBES
        try:
            while not over.done():
                await asyncio.wait({over}, timeout=PROBE_SECONDS)
                if over.done() or self._stopping.is_set():
                    continue
                silent = 0 if await self.spec.alive() else silent + 1
                if silent >= SILENT_PROBES and not self._stopping.is_set():
                    say(f"{self.spec.name} has not answered for {silent * PROBE_SECONDS:.0f} s and is killed")
                    signal_group(process.pid, signal.SIGKILL)
                    silent = 0
        finally:
            over.cancel()

    def _recovered(self) -> bool:
        """Whether the cause of the process's end was repaired, so that it can be started again."""
        try:
            mended = self.spec.recover("\n".join(last_lines(self.log, start=self._log_start)))
        except OSError as error:
            mended = ""
            say(f"{self.spec.name}: {error}")
        if mended:
            say(f"{self.spec.name}: {mended}")
        return bool(mended)

    def _explain(self, what: str) -> str:
        lines = last_lines(self.log, start=self._log_start)
        return "".join((f"{self.spec.name} {what} (log: {self.log})", *(f"\n    {line}" for line in lines)))


async def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process, woken by the kernel where it can do that (pidfd)."""
    if process.returncode is not None:
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        while process.poll() is None:  # noqa: ASYNC110 - this system offers nothing but polling
            await asyncio.sleep(POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
