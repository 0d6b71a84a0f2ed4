"""An answer that cannot be read: its error is kept for a while, the memory it took is not."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.fetcher.http.response import FetchedBody
from services.fetcher.indexes.reading import READ_INLINE_BYTES, read_answer
from shared.errors import UpstreamInvalid
from shared.models import UpstreamSource
from shared.process.byte_budget import ByteBudget
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase


class Memory:
    """Stands for what a reader makes of a body."""


class Unreadable:
    """A protocol that gives up in the middle, for a reason of its own."""

    def __init__(self) -> None:
        self.made: weakref.ref[Memory] | None = None
        self.documents = self

    def read_index(self, *_: Any, **__: Any) -> None:
        memory = Memory()
        self.made = weakref.ref(memory)
        try:
            self._inner(memory)
        except ValueError as error:
            raise UpstreamInvalid("no such index") from error

    def _inner(self, memory: Memory) -> None:
        raise ValueError


async def test_read_answer__fails__the_error_holds_nothing_of_the_body() -> None:
    threads = BoundedThreads(1)
    response = FetchedBody(200, {}, "http://127.0.0.1/simple/demo/", b" " * (READ_INLINE_BYTES + 1))
    protocol = Unreadable()
    with ByteBudget(1 << 20, "pages").share() as share, pytest.raises(UpstreamInvalid) as caught:
        await read_answer(
            cast(PackageProxyBase, protocol),
            "simple/demo",
            cast(UpstreamSource, SimpleNamespace(name="main")),
            response,
            threads,
            1 << 20,
            {},
            share,
        )
    assert protocol.made is not None
    assert protocol.made() is None, caught
    await threads.aclose()
