"""Foreign errors: their reasons for clients, and those that mean an exhausted resource of our own.

A reason is shown without the addresses of this installation: clients read it. What a process itself lacks
(descriptors, memory, threads) is passing, and nobody else's fault.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator

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


_OWN = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


def own_lack(error: BaseException) -> str:
    """The resource that this process lacks, if that caused the error; "" if not."""
    for cause in causes(error):
        if isinstance(cause, MemoryError):
            return "this process is out of memory"
        if isinstance(cause, RuntimeError) and "start new thread" in str(cause):
            return "this process may start no more threads"
        if isinstance(cause, OSError) and cause.errno in _OWN and not isinstance(cause, socket.gaierror):
            return f"this process is short of what it needs ({os.strerror(cause.errno or 0)})"
    if (isinstance(error, OSError) or type(error).__name__ == "ConnectError") and _no_descriptor():
        return f"this process is short of what it needs ({os.strerror(errno.EMFILE)})"
    return ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from; aiohttp keeps the certificate's fault in an attribute."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        inner = getattr(cause, "certificate_error", None) or getattr(cause, "os_error", None)
        if isinstance(inner, BaseException) and inner is not cause:
            yield inner
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _no_descriptor() -> bool:
    """A name look-up without a descriptor left says that there is no such name."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True
    return False
