"""What a source's answer means, by the table (shared/answers.py), the source's options and its own words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from shared.answers import meaning
from shared.clients.http import UpstreamResponse
from shared.clients.http_decoding import decode_body
from shared.clients.http_errors import error_of_status
from shared.errors import OrchardError, UpstreamRefused
from shared.models import UpstreamSource
from shared.upstream_words import MAX_BYTES, decision

MAX_UNPACKED_BYTES = 256 * 1024
WORDS_SECONDS = 2.0  # a refusal is not waited for any longer than this for its words


def status_at(source: UpstreamSource, status: int) -> int:
    """The status, or 404 where this source's operator says that it means "not here"."""
    return 404 if status in source.options.absent_statuses else status


def error_of(
    source: UpstreamSource, status: int, headers: Mapping[str, str], body: bytes
) -> OrchardError | None:
    """The error that an answer means, in the upstream's own words where it refuses; see `error_of_status`."""
    words = ""
    if meaning(status) is UpstreamRefused:
        with contextlib.suppress(OrchardError):
            coding = headers.get("content-encoding", "")
            body = decode_body(body[:MAX_BYTES] if not coding else body, coding, max_bytes=MAX_UNPACKED_BYTES)
            secrets = (source.password, source.token)
            words = decision(headers.get("content-type", ""), body, secrets)
    return error_of_status(status, headers, f"upstream {source.name}", words)


async def error_of_stream(source: UpstreamSource, response: UpstreamResponse) -> OrchardError | None:
    """The same for an answer whose body is still to be read: as much of it as is worth it, for a moment."""
    body = bytearray()
    if meaning(response.status) is UpstreamRefused:
        with contextlib.suppress(OrchardError, TimeoutError):
            async with asyncio.timeout(WORDS_SECONDS):
                async for piece in response.chunks():
                    body += piece
                    if len(body) >= MAX_BYTES:
                        break
    return error_of(source, response.status, response.headers, bytes(body))
