"""Spans as OTLP sends them: the protobuf of opentelemetry-proto by hand, over HTTP in a thread of its own.

Fields and numbers: `trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto` and
`collector/trace/v1/trace_service.proto`. tests/shared/telemetry reads it with that package. Why no SDK:
docs/decisions/0053.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.telemetry.metrics import TRACE_SPANS

MOST_WAITING = 4096  # spans: what is more is counted and dropped
BATCH = 512
PAUSE_SECONDS = 1.0  # between two looks at what waits
FAILED_SECONDS = 5.0  # after a collector did not take one
TIMEOUT_SECONDS = 5.0
CLOSE_SECONDS = 2.0

Value = str | int | float | bool


@dataclass(slots=True)
class Span:
    """One piece of work. Times are unix nanoseconds; `kind`: 2 server, 3 client, 5 consumer."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    started: int
    ended: int = 0
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""  # why it failed


def encode(spans: Sequence[Span], resource: Mapping[str, Value]) -> bytes:
    """ExportTraceServiceRequest."""
    scope = _text(1, "orchard")
    scoped = _part(1, scope) + b"".join(_part(2, _span(each)) for each in spans)
    described = b"".join(_part(1, _pair(key, value)) for key, value in resource.items())
    return _part(1, _part(1, described) + _part(2, scoped))


def _span(span: Span) -> bytes:
    parts = [_part(1, span.trace_id), _part(2, span.span_id)]
    if span.parent_id:
        parts.append(_part(4, span.parent_id))
    parts += [_text(5, span.name), _number(6, span.kind), _fixed(7, span.started), _fixed(8, span.ended)]
    parts += [_part(9, _pair(key, value)) for key, value in span.attributes.items()]
    if span.error:
        parts.append(_part(15, _text(2, span.error) + _number(3, 2)))
    return b"".join(parts)


def _pair(key: str, value: Value) -> bytes:
    if isinstance(value, str):
        said = _text(1, value)
    elif isinstance(value, bool):
        said = _number(2, int(value))
    elif isinstance(value, int):
        said = _number(3, value)
    else:
        said = _text(1, f"{value:.6f}")
    return _text(1, key) + _part(2, said)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _part(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _part(number, text.encode(errors="replace"))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _fixed(number: int, value: int) -> bytes:
    return _varint(number << 3 | 1) + value.to_bytes(8, "little")


class Exporter:
    """Sends what it is given, in batches; never raises, never waits. What no collector takes is gone."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], resource: Mapping[str, Value]) -> None:
        """`endpoint`: as OTEL_EXPORTER_OTLP_ENDPOINT is written, without /v1/traces."""
        parts = urlsplit(endpoint)
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/") + "/v1/traces"
        self._headers = {"content-type": "application/x-protobuf", **headers}
        self._resource = resource
        self._waiting: deque[Span] = deque()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, span: Span) -> None:
        """Have it sent."""
        if self._thread is None:  # here, not before: a process may fork after it was configured
            self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()
        if len(self._waiting) >= MOST_WAITING:
            TRACE_SPANS.labels("dropped").inc()
            return
        self._waiting.append(span)

    def close(self) -> None:
        """Send what waits, for a moment."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        pause = PAUSE_SECONDS
        while True:
            last = self._closing.wait(pause)
            pause = PAUSE_SECONDS
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                sent = self._send(encode(batch, self._resource))
                TRACE_SPANS.labels("sent" if sent else "dropped").inc(len(batch))
                if not sent:
                    pause = FAILED_SECONDS
                    break
            if last:
                return

    def _send(self, body: bytes) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            connection = self._kind(self._host, self._port, timeout=TIMEOUT_SECONDS)
            try:
                connection.request("POST", self._path, body, self._headers)
                return 200 <= connection.getresponse().status < 300
            finally:
                connection.close()
        return False
