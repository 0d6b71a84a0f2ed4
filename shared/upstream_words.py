"""The words in which an upstream says no, out of the body of its answer: short, plain, without secrets.

JSON (RFC 9457 and what npm, Artifactory and others use), the title or heading of a web page, or plain text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import msgspec

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
    """What the upstream says, at most 300 characters of one line; "" if it says nothing for a person.

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
