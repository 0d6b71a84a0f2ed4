"""What a process itself lacks: descriptors, memory, threads. Passing, and nobody else's fault."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

_OWN = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


def own_lack(error: BaseException) -> str:
    """What this process lacks, if that is behind the error; "" if not."""
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
