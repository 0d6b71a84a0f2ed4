"""A real gateway process for tests, and raw requests that show exactly what is on the wire."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import warm
from tests.support.warm import Forked

START_SECONDS = 90.0


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(slots=True)
class RawResponse:
    """A response as read from the socket until its end, or until the connection's."""

    status: int
    headers: dict[str, str]
    body: bytes  # decoded from chunks, if it came so
    complete: bool  # Content-Length reached, or the final chunk seen
    first_byte_seconds: float = 0.0
    longest_silence_seconds: float = 0.0
    informational: list[int] = field(default_factory=list)


@dataclass(slots=True)
class GatewayProcess:
    """A gateway that was started alone."""

    process: Forked
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def request(
        self, path: str, method: str = "GET", *, timeout: float = 20.0, **headers: str
    ) -> RawResponse:
        """One request on its own connection; `if_none_match` is the header If-None-Match."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return raw_request(self.port, path, method, named, timeout=timeout)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


@contextmanager
def running_gateway(settings: Mapping[str, str], folder: Path, *, port: int = 0) -> Iterator[GatewayProcess]:
    """A gateway that answers, on a free port unless told; it is stopped at the end."""
    port = port or free_port()
    log = folder / f"gateway-{port}.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
    environment |= {**settings, "ORCHARD_PORT": str(port)}
    process = warm.start("services.gateway", env=environment, log=log, session=False)
    gateway = GatewayProcess(process, port, log)
    try:
        _wait_until_ready(gateway)
        yield gateway
    finally:
        try:
            gateway.stop()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_until_ready(gateway: GatewayProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if gateway.process.poll() is not None:
            raise RuntimeError(f"the gateway ended at start:\n{gateway.output()}")
        try:
            if gateway.request("/health/ready", timeout=1.0).status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the gateway did not get ready:\n{gateway.output()}")


def raw_request(
    port: int,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float = 20.0,
    version: str = "1.1",
) -> RawResponse:
    """Send one request and read until its response is complete or the connection ends."""
    lines = [f"{method} {path} HTTP/{version}"]
    wanted = {"host": f"127.0.0.1:{port}", **(headers or {})}
    lines += [f"{name}: {value}" for name, value in wanted.items()]
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return read_response(connection, head=method == "HEAD")


def read_response(connection: socket.socket, *, head: bool = False) -> RawResponse:
    """One response from a socket. A connection that ends early gives `complete` False."""
    started = last = time.monotonic()
    data = bytearray()
    longest = 0.0
    ended = False

    def more() -> bool:
        nonlocal last, longest, ended
        if ended:
            return False
        try:
            piece = connection.recv(262144)
        except ConnectionResetError:
            piece = b""
        now = time.monotonic()
        longest = max(longest, now - last)
        last = now
        if not piece:
            ended = True
            return False
        data.extend(piece)
        return True

    while b"\r\n\r\n" not in data:
        if not more():
            raise ConnectionError(f"no response head, only {bytes(data)!r}")
    raw_head, _, rest = bytes(data).partition(b"\r\n\r\n")
    lines = raw_head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
    }
    data = bytearray(rest)
    while not data and not head and status not in (204, 304) and headers.get("content-length") != "0":
        if not more():
            break
    first_byte = time.monotonic() - started
    if head or status in (204, 304):
        return RawResponse(status, headers, b"", True, first_byte)
    if "content-length" in headers:
        size = int(headers["content-length"])
        while len(data) < size and more():
            pass
        return RawResponse(status, headers, bytes(data), len(data) == size, first_byte, longest)
    if headers.get("transfer-encoding") == "chunked":
        while not bytes(data).endswith(b"0\r\n\r\n") and more():
            pass
        body, complete = _dechunk(bytes(data))
        return RawResponse(status, headers, body, complete, first_byte, longest)
    while more():
        pass
    return RawResponse(status, headers, bytes(data), False, first_byte, longest)


def _dechunk(data: bytes) -> tuple[bytes, bool]:
    body = bytearray()
    position = 0
    while True:
        end = data.find(b"\r\n", position)
        if end < 0:
            return bytes(body), False
        size = int(data[position:end], 16)
        if size == 0:
            return bytes(body), True
        body += data[end + 2 : end + 2 + size]
        if len(data) < end + 2 + size + 2:
            return bytes(body), False
        position = end + 2 + size + 2
