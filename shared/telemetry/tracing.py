"""Traces: which span the work of now belongs to, and how that travels (W3C Trace Context, `traceparent`).

Off unless ORCHARD_OTLP_ENDPOINT is set: then `begin` gives no span, jobs carry nothing, and no application is
wrapped. Only a request begins a trace; what nobody asked for is in none.
"""

from __future__ import annotations

import atexit
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.settings import Settings
from shared.telemetry.otlp import Exporter, Span, Value
from shared.version import VERSION

SERVER, CLIENT, CONSUMER = 2, 3, 5
LONGEST = 256  # characters of a value

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
_NAMED_SECRET = re.compile(r"(/[^/]*(?:token|passw|secret|key|auth)[^/]*/)[^/]+", re.IGNORECASE)
_current: ContextVar[Span | None] = ContextVar("span", default=None)
_exporter: Exporter | None = None
_share = 1.0
_to_upstreams = False


def configure_tracing(service: str, settings: Settings) -> None:
    """Set up traces for this process; none where no collector is named."""
    global _exporter, _share, _to_upstreams
    _exporter = None
    if not settings.otlp_endpoint:
        return
    resource: dict[str, Value] = {
        "service.name": f"orchard-{service}",
        "service.version": VERSION,
        "service.instance.id": f"{os.uname().nodename}-{os.getpid()}",
    }
    _share, _to_upstreams = settings.trace_share, settings.trace_upstreams
    named = (each.partition("=") for each in settings.otlp_headers.split(",") if each.strip())
    headers = {name.strip(): value.strip() for name, _, value in named}
    _exporter = Exporter(settings.otlp_endpoint, headers, resource)
    atexit.register(_exporter.close)


def is_on() -> bool:
    """Whether anything is traced in this process."""
    return _exporter is not None


def accepted(traceparent: str) -> tuple[bytes, bytes] | None:
    """Trace and parent of a request that comes in with this header ("": none), or None where it is not
    traced: whoever began the trace says so, or ORCHARD_TRACE_SHARE."""
    found = _PARENT.fullmatch(traceparent)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return (random.randbytes(16), b"") if random.random() < _share else None
    return (bytes.fromhex(found[1]), bytes.fromhex(found[2])) if int(found[3], 16) & 1 else None


def traceparent(span: Span | None = None) -> str:
    """The header that makes work a child of `span`, or of the span of now; "" where there is none."""
    span = span or _current.get()
    return "" if span is None else f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"


def begin(name: str, kind: int, parent: tuple[bytes, bytes] | None = None) -> Span | None:
    """A span of `parent`, or of the span of now; None where there is neither, or nothing is traced."""
    if _exporter is None:
        return None
    if parent is None:
        current = _current.get()
        if current is None:
            return None
        parent = current.trace_id, current.span_id
    return Span(parent[0], random.randbytes(8), parent[1], name[:LONGEST], kind, time.time_ns())


def end(span: Span | None, *, error: str = "", **attributes: Value) -> None:
    """Send a span off. Attributes are named with `__` for a dot; none may hold a secret or a query."""
    if span is None or _exporter is None:
        return
    span.ended, span.error = time.time_ns(), error
    for name, value in attributes.items():
        span.attributes[name.replace("__", ".")] = value[:LONGEST] if isinstance(value, str) else value
    _exporter.put(span)


@contextmanager
def inside(span: Span | None) -> Iterator[None]:
    """What begins in this block is a child of `span`."""
    if span is None:
        yield
        return
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


def sent_to_upstream(span: Span | None) -> dict[str, str]:
    """The header for an upstream, where ORCHARD_TRACE_UPSTREAMS says that it may know."""
    return {"traceparent": traceparent(span)} if span is not None and _to_upstreams else {}


def shown_path(path: str) -> str:
    """A path as an attribute may hold it: without a query, without what follows a segment such as `token`."""
    return _NAMED_SECRET.sub(r"\1…", path.partition("?")[0][:LONGEST])
