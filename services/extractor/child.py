"""One sandboxed process as its parent sees it: started bare, spoken to over two pipes, killed on a breach."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Self

import msgspec

from services.extractor.frames import LENGTH, MAX_FRAME_BYTES, FromChild, decode_from_child

_ROOT = Path(__file__).resolve().parents[2]


class Limits(msgspec.Struct, frozen=True):
    """What one artifact may cost."""

    memory_bytes: int = 512 * 1024 * 1024  # address space of a child; Python and its imports take 60 MB
    cpu_seconds: int = 15
    wall_seconds: float = 20.0  # without the time spent waiting for the store
    budget_bytes: int = 256 * 1024 * 1024  # of the artifact as stored
    tasks_per_child: int = 500  # then a fresh one: a parser's leak must not add up
    keep_rss_bytes: int = 256 * 1024 * 1024  # a child that once grew past this is replaced


class Breach(Exception):
    """A child broke a limit, or broke down; the message is the reason for people."""


class Child:
    """One process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self.tasks = 0

    @classmethod
    async def start(cls, protocols: str, limits: Limits) -> Self:
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
        with contextlib.suppress(RuntimeError):  # whoever is listening reads the end himself
            await self._stdout.read()  # the pipe is closed with its end


def _reason_of_death(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "time: used up its CPU seconds"
    if code == -signal.SIGKILL:
        return "memory: killed by the system"  # we await our own kills elsewhere: this was the kernel
    if code < 0:
        return f"crash: signal {-code}"
    return f"crash: ended with code {code}"
