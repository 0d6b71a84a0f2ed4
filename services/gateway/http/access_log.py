"""Metrics and access log of answered requests: each is counted once and has one line.

A logging framework would cost more than the hit it describes: a line is built cheaply, and lines are written
in batches by a thread. It has the fields of shared/telemetry/logs.py, and neither query strings (they may
hold secrets) nor bodies.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from services.gateway.http.addresses import address_of
from shared.telemetry import metrics

FLUSH_SECONDS = 0.1
FLUSH_BYTES = 64 * 1024
MOST_BYTES = 4 * 1024 * 1024
"""Lines are dropped, and counted, while whoever reads our output is this far behind."""

_encode = msgspec.json.Encoder().encode


def escape(text: str) -> str:
    """A JSON string of any text, quotes included."""
    try:
        return _encode(text).decode()
    except UnicodeEncodeError:
        return _encode(ascii(text)).decode()


class AccessLog:
    """Collects lines and writes them to a file descriptor. Its owner opens and closes it."""

    def __init__(self, descriptor: int = 1, *, console: bool = False) -> None:
        self._descriptor = descriptor
        self._console = console
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="access-log")
        self._second = 0
        self._stamp = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0

    async def open(self) -> None:
        """Bind to the running loop."""
        self._loop = asyncio.get_running_loop()

    def write(
        self,
        method: str,
        path: str,  # as `escape` made it
        status: int,
        result: str,
        size_bytes: int,
        seconds: float,
        request_id: str,
        client: str,
        error: str = "",
    ) -> None:
        """Add one line. All text but `path` must be free of quotes and control characters."""
        if self._size > MOST_BYTES:
            self.dropped += 1
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        if self._console:
            line = f"{self._stamp}Z {method} {path} {status} {result} {size_bytes}B {seconds * 1000:.2f}ms\n"
        else:
            code = f',"error":"{error}"' if error else ""
            line = (
                f'{{"event":"request","method":"{method}","path":{path},"status":{status},'
                f'"cache":"{result}","bytes":{size_bytes},"seconds":{seconds:.6f},"client":"{client}",'
                f'"request_id":"{request_id}"{code},"level":"info",'
                f'"timestamp":"{self._stamp}.{int((now - second) * 1000):03d}Z","service":"gateway"}}\n'
            )
        self._lines.append(line)
        self._size += len(line)
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush)
        if self._size >= FLUSH_BYTES and not self._writing:
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing or not self._lines or self._loop is None:
            return
        lines, self._lines, self._size = self._lines, [], 0
        self._writing = True
        written = self._loop.run_in_executor(self._thread, self._write_out, lines)
        written.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[None]) -> None:
        self._writing = False
        done.exception()
        if self._lines and self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush)

    def _write_out(self, lines: list[str]) -> None:
        data = memoryview("".join(lines).encode("utf-8", "backslashreplace"))
        while data:
            data = data[os.write(self._descriptor, data) :]

    async def aclose(self) -> None:
        """Write what is left, waiting a second at most for whoever reads it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._size = self._lines, [], 0
        loop, self._loop = self._loop, None
        if loop is not None and lines:
            try:
                async with asyncio.timeout(1.0):
                    await loop.run_in_executor(self._thread, self._write_out, lines)
            except (TimeoutError, OSError):
                self.dropped += len(lines)
        self._thread.shutdown(wait=False)


LONGEST_PATH = 2048


class Record:
    """Records the answered requests of one gateway. `access_log` None: requests are only counted."""

    def __init__(self, access_log: AccessLog | None) -> None:
        self._log = access_log

    def answered(
        self,
        scope: Any,
        path: str | bytes,
        request_id: str,
        started: float,
        name: str,
        result: str,
        status: int,
        size: int,
        code: str = "",
    ) -> None:
        """Note one answered request. `path`: as `escape` made it, or raw; `started` by `time.perf_counter`;
        `name`: the protocol, "api", or "other"; `result`: what X-Cache said; `size` in bytes; `code` of an
        error."""
        seconds = time.perf_counter() - started
        metrics.observe_request(name, result, status, seconds, size)
        if self._log is not None:
            method = scope["method"]
            self._log.write(
                method if method.isalpha() else "-",
                path if isinstance(path, str) else escape(path[:LONGEST_PATH].decode("latin-1")),
                status,
                result,
                size,
                seconds,
                request_id,
                address_of(scope),
                code,
            )
