"""Which errors say that this process lacks something, wherever in their chain that stands."""

from __future__ import annotations

import errno
import socket

import pytest

from shared.clients.http_errors import as_orchard_errors
from shared.clients.own_lack import own_lack
from shared.errors import OrchardError, PassingError, UpstreamUnavailable

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
