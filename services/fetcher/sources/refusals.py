"""The error that a source's answer means: by the table (shared/sources/answers.py), its options and its text.

The text comes out of the body of the answer: JSON (RFC 9457 and what npm, Artifactory and others use), the
title or heading of a web page, or plain text; short, plain, without secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from services.fetcher.http.egress import gets_credentials, origin_of
from services.fetcher.http.errors import answered, error_of_status
from services.fetcher.http.response import UpstreamResponse, decode_body
from services.fetcher.sources import chained
from shared.errors import OrchardError, UpstreamRefused
from shared.models import UpstreamSource
from shared.protocols import protocol_named
from shared.sources.answers import meaning

MAX_BYTES = 16 * 1024
"""More of a body is not read for its words."""
MAX_CHARACTERS = 300

_MEMBERS = ("detail", "reason", "error", "message", "errors", "error_description", "title")
_HTML_WORDS = re.compile(r"<(?:title|h1)\b[^>]*>(.{1,2000}?)</(?:title|h1)>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]{0,500}>")
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_USERINFO = re.compile(r"(?<=://)[^/\s@]{1,200}@")
# A query may hold a signature, and so may what follows these words.
_SECRETS = re.compile(r"(?<=\?)[^\s\"'<>]+|(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{4,}")


def decision(content_type: str, body: bytes, secrets: tuple[str, ...] = ()) -> str:
    """The upstream's text, at most 300 characters of one line; "" if it has none for a person.

    `secrets`: the source's own, which an upstream may echo.
    """
    kind = content_type.partition(";")[0].strip().lower()
    text = body[:MAX_BYTES].decode("utf-8", "replace")
    if kind.endswith(("/json", "+json")) or text.lstrip()[:1] == "{":
        found = _of_json(body)
    elif "html" in kind or text.lstrip()[:1] == "<":
        found = next((_TAG.sub(" ", match) for match in _HTML_WORDS.findall(text)), "")
        found = html.unescape(found)
    elif kind in ("text/plain", ""):
        found = text
    else:
        found = ""
    return _plain(found, secrets)


def _of_json(body: bytes) -> str:
    try:
        return next(_strings(msgspec.json.decode(body), 0), "")
    except (msgspec.DecodeError, RecursionError, ValueError):
        return ""


def _strings(value: Any, depth: int) -> Iterator[str]:
    """The texts of the members that hold words, the most telling first."""
    if depth > 3:
        return
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, list):
        for each in value[:3]:
            yield from _strings(each, depth + 1)
    elif isinstance(value, dict):
        for name in _MEMBERS:
            yield from _strings(value.get(name), depth + 1)


def _plain(text: str, secrets: tuple[str, ...]) -> str:
    text = _TERMINAL.sub(" ", text)
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    for secret in secrets:
        if len(secret) > 3:
            line = line.replace(secret, "…")
    line = _SECRETS.sub("…", _USERINFO.sub("", line))
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1].rstrip() + "…"


MAX_UNPACKED_BYTES = 256 * 1024
WORDS_SECONDS = 2.0  # seconds to wait for the text of a refusal


def status_at(source: UpstreamSource, status: int, *, page: bool = False) -> int:
    """The status, or 404 where this source's operator says that it means "not here", or of a page its
    protocol."""
    absent = status in source.options.absent_statuses
    if page and not absent:
        absent = status in protocol_named(source.protocol).upstream.absent_statuses
    return 404 if absent else status


def error_of(
    source: UpstreamSource, status: int, headers: Mapping[str, str], body: bytes
) -> OrchardError | None:
    """The error that an answer means, in the upstream's own words where it refuses; see `error_of_status`.
    Of an Orchard's what it means exactly (`chained.meant`)."""
    words, where = "", f"upstream {source.name}"
    code = chained.code_of(headers)
    if code or meaning(status) is UpstreamRefused:
        with contextlib.suppress(OrchardError):
            coding = headers.get("content-encoding", "")
            body = decode_body(body[:MAX_BYTES] if not coding else body, coding, max_bytes=MAX_UNPACKED_BYTES)
            secrets = (source.password, source.token)
            words = decision(headers.get("content-type", ""), body, secrets)
    error = error_of_status(status, headers, where, words)
    return chained.meant(code, status, answered(where, status, words), error) if code else error


async def error_of_stream(source: UpstreamSource, response: UpstreamResponse) -> OrchardError | None:
    """The same for an answer whose body is still to be read: as much of it as is worth it, for two
    seconds."""
    body = bytearray()
    if chained.code_of(response.headers) or meaning(response.status) is UpstreamRefused:
        with contextlib.suppress(OrchardError, TimeoutError):
            async with asyncio.timeout(WORDS_SECONDS):
                async for piece in response.chunks():
                    body += piece
                    if len(body) >= MAX_BYTES:
                        break
    error = error_of(source, response.status, response.headers, bytes(body))
    if isinstance(error, UpstreamRefused) and response.status in (401, 403):
        error.message += _unsent(source, response.url)
    return error


def _unsent(source: UpstreamSource, url: str) -> str:
    """That a host which refuses did not get the source's credentials; "" where it did, or there are none."""
    if not (source.username or source.password or source.token) or gets_credentials(source, origin_of(url)):
        return ""
    return (
        "; that was another host, which did not get its credentials: `orchard upstreams credentials "
        f"{source.name} --also-at HOST` has them sent there, too"
    )
