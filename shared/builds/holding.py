"""The row of a sealed build, together with what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from shared.builds.rows import REMOVALS
from shared.postgres.database import Database, Fetch

AT_ONCE = 16


async def store_held(
    database: Database,
    stat: Callable[[str], Awaitable[object | None]],
    statement: str,
    id: str,
    session: bytes,
    keys: Sequence[str],
) -> list[str]:
    """Store a build, which from then on holds these objects: `STORE` or `STORE_LOCK`. Those that are gone
    come back, and then nothing is stored: between somebody's look at them and this they may be removed.
    `stat`: the object store's."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def is_gone(key: str) -> bool:
        async with turns:
            return await stat(key) is None

    async def call(fetch: Fetch) -> list[str]:
        gone = await asyncio.gather(*map(is_gone, keys))
        lost = [key for key, is_lost in zip(keys, gone, strict=True) if is_lost]
        if not lost:
            await fetch(statement, id, session, list(keys))
        return lost

    return await database.alone(REMOVALS, call)
