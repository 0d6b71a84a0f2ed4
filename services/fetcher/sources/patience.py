"""How long an upstream is waited for, and the error for one that does not answer."""

from __future__ import annotations

from shared.errors.passing import UpstreamTimeout
from shared.models import UpstreamSource
from shared.settings import Settings

PAGE_HEAD_SECONDS = 30.0  # seconds; a silent one holds one of few slots


def head_seconds(settings: Settings, source: UpstreamSource, *, page: bool) -> float:
    """How long an upstream may take to begin its answer: a deadline of its own, independent of the client:
    what takes longer than a client waits is there for the next one. A page is given less than a file, which
    may have to be built first."""
    seconds = source.limits.read_timeout_seconds or settings.http_read_timeout
    return min(seconds, PAGE_HEAD_SECONDS) if page else seconds


def silent(source: UpstreamSource, seconds: float) -> UpstreamTimeout:
    """The error for an upstream that did not answer within so many seconds."""
    return UpstreamTimeout(f"upstream {source.name} did not answer within {seconds:.3g} s")
