"""The reason in a foreign error's text, without the addresses of this installation: clients read it."""

from __future__ import annotations

import re

MAX_CHARACTERS = 160
_ADDRESSES = re.compile(
    r"\s*\(\s*['\"][^()]*\)"  # ('10.0.0.5', 6379): asyncio and the socket module
    r"|\s+(?:connecting\s+)?(?:to|at|from)\s+(?:host\s+)?\S+:\d{1,5}\b"  # connecting to redis.internal:6379
    r"|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b"
    r"|\[[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\](?::\d{1,5})?"
)


def reason_of(error: BaseException) -> str:
    """What an error says, in one line of at most 160 characters; its kind where it says nothing."""
    text = " ".join(_ADDRESSES.sub("", str(error)).split())
    return text[:MAX_CHARACTERS] or type(error).__name__
