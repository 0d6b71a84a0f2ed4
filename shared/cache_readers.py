"""What `CacheService` reads from: Redis itself, or a gateway's memory over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


class Reader(Protocol):
    """Anything that reads many keys: `RedisClient`, or a gateway's L1 over it."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...


@runtime_checkable
class LocalReader(Reader, Protocol):
    """A reader with values in memory (see `services/gateway/l1.py`)."""

    @property
    def connected(self) -> bool: ...

    def holds(self, key: str) -> bool: ...

    def peek_decoded(self, key: str, decode: Callable[[bytes], T]) -> T | None: ...

    def decoded(self, key: str, raw: bytes, decode: Callable[[bytes], T]) -> T | None: ...

    async def read(self, keys: Sequence[str]) -> tuple[list[bytes | None], bool]: ...
