"""An OTLP/HTTP collector on loopback: reads spans by the package of the specification."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    seconds: float
    attributes: dict[str, Any]
    error: str


def read(body: bytes) -> list[Seen]:
    """The spans of one request. Raises `DecodeError`."""
    found = []
    for part in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {each.key: each.value.string_value for each in part.resource.attributes}
        for span in (span for scoped in part.scope_spans for span in scoped.spans):
            kinds = {each.key: each.value for each in span.attributes}
            values = {name: getattr(value, value.WhichOneof("value")) for name, value in kinds.items()}
            ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
            seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
            failed = span.status.message if span.status.code == 2 else ""
            found.append(Seen(resource["service.name"], span.name, span.kind, *ids, seconds, values, failed))
    return found


class Collector:
    """Notes what it gets; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[Seen] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                collector.bodies.append(body)
                collector.spans += read(body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, trace: str) -> list[Seen]:
        """The spans of one trace."""
        return [each for each in self.spans if each.trace == trace]
