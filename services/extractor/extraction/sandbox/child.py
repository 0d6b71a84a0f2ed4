"""The parent's side of one sandboxed process: started without environment, driven over a socket, killed on a
breach."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

import msgspec

from services.extractor.extraction.sandbox.frames import LENGTH, MAX_FRAME_BYTES, FromChild, decode_from_child

_ROOT = Path(__file__).resolve().parents[4]
_DYING_SECONDS = 2.0  # from the end of the channel to the end of the process


class Limits(msgspec.Struct, frozen=True):
    """What one artifact may cost."""

    memory_bytes: int = 512 * 1024 * 1024  # address space of a child; Python and its imports take 60 MB
    cpu_seconds: int = 15
    wall_seconds: float = 20.0  # without the time spent waiting for the store
    budget_bytes: int = 256 * 1024 * 1024  # of the artifact as stored
    tasks_per_child: int = 500  # then a fresh one: a parser's leak must not add up
    keep_rss_bytes: int = 256 * 1024 * 1024  # a child that once grew past this is replaced


class Breach(Exception):
    """A child exceeded a limit or crashed; the message is the reason for people."""


class Child:
    """One process, the socket that is its stdin and stdout, and another by which it is handed open files.

    Not asyncio's subprocess: there a process that is killed while its pipes are being connected is
    waited for without end (Python 3.11).
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hand: socket.socket,
    ) -> None:
        self._process = process
        self._hand = hand
        self._reader = reader
        self._writer = writer
        self.tasks = 0

    @classmethod
    async def start(cls, protocols: str, limits: Limits) -> Self:
        """Raises `OSError` when the system gives no process."""
        ours, theirs = socket.socketpair()
        hand, their_hand = socket.socketpair()
        with theirs, their_hand:
            try:
                # Returns in a few milliseconds: the child's imports are not waited for here.
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - the command is ours
                    [
                        sys.executable,
                        "-m",
                        "services.extractor.extraction.sandbox.process",
                        protocols,
                        str(limits.memory_bytes),
                        str(limits.cpu_seconds),
                        str(limits.budget_bytes),
                        str(their_hand.fileno()),
                    ],
                    pass_fds=(their_hand.fileno(),),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    cwd=_ROOT,
                    # Nothing of our environment: it holds the passwords of the stores. One malloc
                    # arena, since each reserves 64 MB of address space.
                    env={"PYTHONUTF8": "1", "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                )
            except OSError:
                ours.close()
                hand.close()
                raise
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            process.kill()
            process.wait()
            ours.close()
            hand.close()
            raise
        return cls(process, reader, writer, hand)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def hand_over(self, path: Path) -> None:
        """Give the child this file, open for reading; it can open none itself.

        Raises `OSError` where the file cannot be opened. A child that died is noticed by the next `ask`.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(ConnectionError):
                socket.send_fds(self._hand, [b"f"], [descriptor])
        finally:
            os.close(descriptor)

    async def ask(self, message: bytes) -> FromChild:
        """Send a message and wait for the answer. Raises `Breach` when the child died."""
        with contextlib.suppress(ConnectionError):  # `listen` raises the reason
            self._writer.write(message)
            await self._writer.drain()
        return await self.listen()

    async def listen(self) -> FromChild:
        """The next message. Raises `Breach` when the child died or sent an invalid message."""
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if length > MAX_FRAME_BYTES:
                raise Breach("size: the result is too large")
            return decode_from_child(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Breach(_reason_of_death(await self._end(_DYING_SECONDS))) from None
        except msgspec.MsgspecError:
            raise Breach("crash: the child sent something unreadable") from None

    async def kill(self) -> None:
        """Kill the process at once and reap it."""
        self._process.kill()
        await self._end(_DYING_SECONDS)
        self._hand.close()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _end(self, seconds: float) -> int:
        """The exit code; a process that closed its channel and lives on is killed."""

        def wait() -> int:
            try:
                return self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                return self._process.wait()

        return await asyncio.to_thread(wait)


def _reason_of_death(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "time: used up its CPU seconds"
    if code == -signal.SIGKILL:
        return "memory: killed by the system"  # we await our own kills elsewhere: this was the kernel
    if code < 0:
        return f"crash: signal {-code}"
    return f"crash: ended with code {code}"
