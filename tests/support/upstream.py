"""A scripted upstream on loopback: real sockets, scripted faults, and a log of every request.

Written on bare sockets, because half of what it must do (cut, reset, send surplus, drip its headers)
an HTTP library refuses to do. It runs in a thread with a loop of its own, so a test's loop may
block without stopping it. `python -m tests.support.upstream --help` runs it as a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """What a path answers when nothing is wrong."""

    body: bytes = b""
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str = "auto"  # "auto": from the body; "": none
    last_modified: str = ""
    ranges: bool = True  # honours Range (and If-Range)
    refuses_head: bool = False  # answers 405 to HEAD
    size: int = -1  # with `part`: the length of a generated body
    part: Callable[[int, int], bytes] | None = None  # generated body: the bytes from start to end

    @property
    def length(self) -> int:
        return self.size if self.part is not None else len(self.body)

    def read(self, start: int, end: int) -> bytes:
        return self.part(start, end) if self.part is not None else self.body[start:end]

    @property
    def validator(self) -> str:
        if self.etag != "auto":
            return self.etag
        basis = self.body if self.part is None else str(self.size).encode()
        return '"' + hashlib.sha256(basis).hexdigest()[:16] + '"'


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one path. Offsets count body bytes of the response, from its start."""

    status: int = 0  # answer this status with `body` instead
    headers: Mapping[str, str] = field(default_factory=dict)  # added; "" removes one
    body: bytes | None = None  # send this instead of the body (a login page, say)
    content_type: str = ""
    redirect: str = ""  # 302 to this address
    cut_at: int = -1  # close after so many body bytes, Content-Length being right
    reset: bool = False  # with cut_at: RST instead of FIN
    flip_at: int = -1  # invert one byte
    surplus: bytes = b""  # sent after the body that Content-Length announced
    no_length: bool = False  # neither Content-Length nor chunks: the end of the connection ends it
    chunked: bool = False
    declared_length: int = -1  # a lie in Content-Length
    silent: bool = False  # accept, read, never answer
    drip_headers_seconds: float = 0.0  # pause between header bytes
    drip_body_seconds: float = 0.0  # pause between body bytes
    stall_at: int = -1  # stop sending at this offset, connection open
    delay_seconds: float = 0.0  # before the status line
    bytes_per_second: int = 0  # throttle
    endless: bool = False  # chunked, for ever
    ignore_range: bool = False
    not_asked_206: bool = False  # 206 to a plain GET: the first half


@dataclass(frozen=True)
class Request:
    """One logged request."""

    method: str
    path: str
    headers: Mapping[str, str]  # lower-case names
    at: float  # time.monotonic
    connection: int  # number of the connection it came on
    body: bytes = b""


class Upstream:
    """The server. `url` has no trailing slash. Scripting calls are safe from any thread."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port
        self.requests: list[Request] = []
        self.connections = 0  # ever accepted
        self.open_connections = 0
        self.peak_connections = 0
        self.bytes_per_second = 0  # throttle of every body, 0 = none
        self._replies: dict[str, Reply] = {}
        self._faults: dict[str, list[tuple[Fault, int]]] = {}  # path or "*" → (fault, uses left; 0 = ever)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-upstream", daemon=True)

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def stop(self) -> None:
        """Close the listener and every connection."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    # --- script ---------------------------------------------------------------------------------

    def put(self, path: str, reply: Reply | bytes, content_type: str = "application/octet-stream") -> str:
        """Answer `path` (no query) so from now on; the full address comes back."""
        self._replies[path] = reply if isinstance(reply, Reply) else Reply(reply, content_type)
        return self.url + path

    def reply(self, path: str) -> Reply:
        """What a path answers when nothing is wrong."""
        return self._replies[path]

    def remove(self, path: str) -> None:
        self._replies.pop(path, None)

    def fault(self, path: str, fault: Fault, times: int = 0) -> None:
        """Break `path` ("*": all) for the next `times` requests; 0 = until `heal`. Faults queue up."""
        self._faults.setdefault(path, []).append((fault, times))

    def heal(self, path: str = "") -> None:
        """Remove the faults of one path, or all."""
        if path:
            self._faults.pop(path, None)
        else:
            self._faults.clear()

    def count(self, path: str = "", method: str = "") -> int:
        """How many requests came for a path (all: ""), of a method (any: "")."""
        return len(self.seen(path, method))

    def seen(self, path: str = "", method: str = "") -> list[Request]:
        return [r for r in list(self.requests) if path in ("", r.path) and method in ("", r.method)]

    def add_project(
        self,
        project: str,
        files: Mapping[str, bytes],
        *,
        hashes: tuple[str, ...] = ("sha256",),
        sizes: bool = True,
        metadata: Mapping[str, bytes] | None = None,
        html: bool = False,
        prefix: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """A simple page (PEP 691 JSON, or PEP 503 HTML) under {prefix}/simple/{project}/ and its files.

        `metadata` maps file names to core metadata, served beside the file and advertised
        (PEP 714). The page's path comes back; files lie under {prefix}/files/{project}/{filename}.
        """
        entries: list[dict[str, Any]] = []
        for name, content in files.items():
            path = f"{prefix}/files/{project}/{name}"
            self.put(path, content)
            entry: dict[str, Any] = {"filename": name, "url": self.url + path}
            entry["hashes"] = {algorithm: hashlib.new(algorithm, content).hexdigest() for algorithm in hashes}
            if sizes:
                entry["size"] = len(content)
            if metadata and name in metadata:
                self.put(path + ".metadata", metadata[name])
                entry["core-metadata"] = {"sha256": hashlib.sha256(metadata[name]).hexdigest()}
            entries.append(entry)
        page = f"{prefix}/simple/{project}/"
        if html:
            self.put(page, Reply(_html_page(project, entries), "text/html; charset=utf-8"))
        else:
            document = {"meta": {"api-version": "1.1"}, "name": project, "files": entries, **(extra or {})}
            document.setdefault("versions", sorted({e["filename"].split("-")[1] for e in entries}))
            kind = "application/vnd.pypi.simple.v1+json"
            self.put(page, Reply(json.dumps(document).encode(), kind))
        return page

    def twin(self) -> Upstream:
        """Another server of the same kind."""
        return Upstream(host=self.host)

    # --- server ---------------------------------------------------------------------------------

    tls: ssl.SSLContext | None = None
    framed = True  # chunks and surplus are this protocol's business

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            self._connection, self.host, self.port, backlog=1024, ssl=self.tls
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        self.open_connections += 1
        self.peak_connections = max(self.peak_connections, self.open_connections)
        try:
            while (request := await _read_request(reader, number)) is not None:
                self.requests.append(request)
                if not await self._answer(request, writer):
                    break
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            with contextlib.suppress(Exception):
                writer.close()

    def _next_fault(self, path: str) -> Fault:
        for key in (path, "*"):
            queue = self._faults.get(key)
            if queue:
                fault, left = queue[0]
                if left == 1:
                    queue.pop(0)
                elif left > 1:
                    queue[0] = (fault, left - 1)
                return fault
        return Fault()

    async def _answer(self, request: Request, writer: Any) -> bool:
        """Send one response; False ends the connection."""
        path = request.path.split("?")[0]
        fault = self._next_fault(path)
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        if fault.silent:
            await asyncio.sleep(3600)
        reply = self._replies.get(path, Reply(b"not here", "text/plain", status=404, etag=""))
        status, start, end, headers = _plan(request, reply, fault)
        content = reply
        if fault.body is not None:
            content = replace(reply, body=fault.body, part=None)
            start, end = 0, len(fault.body)
            headers["content-length"] = str(end)
        if fault.content_type:
            headers["content-type"] = fault.content_type
        if fault.declared_length >= 0:
            headers["content-length"] = str(fault.declared_length)
        if fault.no_length or fault.chunked or fault.endless:
            headers.pop("content-length", None)
        if fault.chunked or fault.endless:
            headers["transfer-encoding"] = "chunked"
        headers.update(fault.headers)
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{k}: {v}" for k, v in headers.items() if v != "")]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if fault.drip_headers_seconds:
            for byte in head:
                writer.write(bytes([byte]))
                await asyncio.sleep(fault.drip_headers_seconds)
        else:
            writer.write(head)
        if request.method == "HEAD" or status in (204, 304):
            await writer.drain()
            return True
        return await self._send_body(content, fault, start, end, writer)

    async def _send_body(self, reply: Reply, fault: Fault, start: int, end: int, writer: Any) -> bool:
        rate = fault.bytes_per_second or self.bytes_per_second
        step = max(1, min(256 * 1024, rate // 50)) if rate else 256 * 1024
        framed = self.framed and (fault.chunked or fault.endless)
        sent, total = 0, end - start
        begun = time.monotonic()
        while sent < total or fault.endless:
            size = 1 if fault.drip_body_seconds else min(step, total - sent) if not fault.endless else 65536
            if 0 <= fault.cut_at < sent + size:
                size = fault.cut_at - sent
            if 0 <= fault.stall_at < sent + size:
                size = fault.stall_at - sent
            piece = b"\0" * size if fault.endless else reply.read(start + sent, start + sent + size)
            if 0 <= fault.flip_at - sent < len(piece):
                at = fault.flip_at - sent
                piece = piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]
            if framed and piece:
                piece = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
            sent += size
            ends = sent == total and not (fault.endless or rate or sent in (fault.stall_at, fault.cut_at))
            if ends:  # what ends the body goes out with its last piece
                writer.write(piece + (b"0\r\n\r\n" if framed else b"") + fault.surplus)
                await writer.drain()
                return not fault.no_length
            writer.write(piece)
            if sent == fault.stall_at:
                await writer.drain()
                await asyncio.sleep(3600)
            if sent == fault.cut_at:
                await writer.drain()
                self._cut(writer, reset=fault.reset)
                return False
            await writer.drain()
            if fault.drip_body_seconds:
                await asyncio.sleep(fault.drip_body_seconds)
            elif rate:
                await asyncio.sleep(max(0.0, sent / rate - (time.monotonic() - begun)))
        writer.write((b"0\r\n\r\n" if framed else b"") + fault.surplus)
        await writer.drain()
        return not fault.no_length

    def _cut(self, writer: Any, *, reset: bool) -> None:
        """End the connection, with RST if asked; without, who answers does."""
        if reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def _plan(request: Request, reply: Reply, fault: Fault) -> tuple[int, int, int, dict[str, str]]:
    """Status, start and end of the body, and headers, by the conditionals of RFC 9110."""
    etag = reply.validator if reply.status == 200 else ""
    headers = {"content-type": reply.content_type, "server": "scripted", **reply.headers}
    if etag:
        headers["etag"] = etag
    if reply.last_modified:
        headers["last-modified"] = reply.last_modified
    length = reply.length
    if reply.refuses_head and request.method == "HEAD":
        return 405, 0, 0, {"allow": "GET", "content-length": "0"}
    if fault.redirect:
        return 302, 0, 0, {"location": fault.redirect, "content-length": "0"}
    if fault.status:
        return fault.status, 0, length, headers | {"content-length": str(length)}
    asked = request.headers
    if reply.status == 200:
        same_tag = etag and asked.get("if-none-match") == etag
        same_date = reply.last_modified and asked.get("if-modified-since") == reply.last_modified
        if same_tag or ("if-none-match" not in asked and same_date):
            return 304, 0, 0, headers
    if fault.not_asked_206:
        half = length // 2
        more = {"content-range": f"bytes 0-{half - 1}/{length}", "content-length": str(half)}
        return 206, 0, half, headers | more
    wanted = asked.get("range", "")
    unchanged = asked.get("if-range", etag) in (etag, reply.last_modified)
    honours = reply.status == 200 and reply.ranges and not fault.ignore_range
    if honours and wanted.startswith("bytes=") and unchanged:
        first, _, last = wanted[6:].partition("-")
        start = int(first) if first else max(0, length - int(last))
        end = min(length, int(last) + 1) if first and last else length
        if start >= length:
            return 416, 0, 0, {"content-range": f"bytes */{length}", "content-length": "0"}
        more = {"content-range": f"bytes {start}-{end - 1}/{length}", "content-length": str(end - start)}
        return 206, start, end, headers | more
    return reply.status, 0, length, headers | {"content-length": str(length)}


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip(" \t") for name, _, value in pairs}
    length = headers.get("content-length", "0")
    body = await reader.readexactly(int(length)) if length.isdigit() and int(length) else b""
    return Request(method, path, headers, time.monotonic(), connection, body)


def _html_page(project: str, entries: list[dict[str, Any]]) -> bytes:
    anchors = []
    for entry in entries:
        fragment = next((f"#{k}={v}" for k, v in entry["hashes"].items()), "")
        core = entry.get("core-metadata")
        extra = f' data-core-metadata="sha256={core["sha256"]}"' if core else ""
        anchors.append(f'<a href="{entry["url"]}{fragment}"{extra}>{entry["filename"]}</a><br/>')
    return f"<!DOCTYPE html><html><body><h1>{project}</h1>{''.join(anchors)}</body></html>".encode()


def main() -> None:
    """Serve a folder: every file under its relative path, throttled if asked."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(description="Serve a folder on loopback, optionally throttled.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bytes-per-second", type=int, default=0)
    arguments = parser.parse_args()
    upstream = Upstream(port=arguments.port)
    for path in arguments.folder.rglob("*"):
        if path.is_file():
            upstream.put("/" + path.relative_to(arguments.folder).as_posix(), path.read_bytes())
    upstream.bytes_per_second = arguments.bytes_per_second
    with upstream:
        print(upstream.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
