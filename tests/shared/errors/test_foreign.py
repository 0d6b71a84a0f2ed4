"""Error texts that clients read tell no address of this installation.

Which errors say that this process lacks something, wherever in their chain that stands.
"""

from __future__ import annotations

import errno
import socket

import pytest

from services.fetcher.http.errors import as_orchard_errors
from shared.errors import OrchardError
from shared.errors.foreign import own_lack, reason_of
from shared.errors.passing import PassingError, UpstreamUnavailable

SAID = {
    "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379).": "Connect call failed",
    "Error -2 connecting to redis.internal:6379. Name or service not known.": "Name or service not known",
    "[Errno 111] Connect call failed ('::1', 9, 0, 0)": "[Errno 111] Connect call failed",
    "Multiple exceptions: [Errno 111] Connect call failed ('::1', 9, 0, 0), [Errno 111] Connect call failed "
    "('10.1.2.3', 9)": "Multiple exceptions",
    "Timeout connecting to server": "Timeout connecting to server",
    "MISCONF Errors writing to the AOF file: No space left on device": "No space left on device",
    "cannot connect to host [fd00::1]:443 ssl:default": "ssl:default",
    "": "OSError",
}


@pytest.mark.parametrize("text", SAID)
def test_reason__keeps_the_words_and_drops_the_addresses(text: str) -> None:
    said = reason_of(OSError(text))
    assert SAID[text] in said
    assert not any(each in said for each in ("127.0.0.1", "6379", "10.1.2.3", "::1", "redis.internal"))


TABLE: dict[str, tuple[BaseException, bool]] = {
    "memory": (MemoryError(), True),
    "threads": (RuntimeError("can't start new thread"), True),
    "descriptors": (OSError(errno.EMFILE, "Too many open files"), True),
    "descriptors of the machine": (OSError(errno.ENFILE, "Too many open files in system"), True),
    "buffers": (OSError(errno.ENOBUFS, "No buffer space available"), True),
    "refused": (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
    "no route": (OSError(errno.EHOSTUNREACH, "No route to host"), False),
    "no such name": (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
    "a defect": (RuntimeError("Event loop is closed"), False),
}


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("wrapped", [False, True])
def test_own_lack__in_the_error_or_behind_it(case: str, wrapped: bool) -> None:
    error, own = TABLE[case]
    if wrapped:
        outer = ValueError("outer")
        outer.__cause__ = error
        error = outer
    assert bool(own_lack(error)) == own


@pytest.mark.parametrize("case", [case for case in TABLE if case != "a defect"])
def test_upstream_error__own_trouble_is_not_the_host_s(case: str) -> None:
    error, own = TABLE[case]
    with pytest.raises(OrchardError) as caught, as_orchard_errors("upstream a"):
        raise error
    assert type(caught.value) is (PassingError if own else UpstreamUnavailable)
    assert caught.value.about_host != own
