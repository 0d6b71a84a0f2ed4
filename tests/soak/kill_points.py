"""A fetcher killed at a chosen byte of a download: its client is served on, or is served the next time."""

from __future__ import annotations

import asyncio
import random
import signal

import aiohttp

from tests.soak.catalogue import Catalogue
from tests.soak.load import LONGEST_SILENCE
from tests.soak.system import System
from tests.support.upstream import Upstream

RATE = 1_500_000  # bytes a second of the upstream meanwhile
LARGE = 700_000


async def kill_points(system: System, upstream: Upstream, points: int, chance: random.Random) -> list[str]:
    """One line each; WRONG in it: an invariant was broken."""
    lines = []
    catalogue = Catalogue(upstream, chance.randrange(2**31))
    catalogue._number = 1_000_000
    while sum(len(each.content) >= LARGE for each in catalogue.items) < points:
        catalogue.grow(1)
    files = [each for each in catalogue.items if len(each.content) >= LARGE]
    upstream.bytes_per_second = RATE
    try:
        for nth, item in enumerate(files[:points]):
            at = int(len(item.content) * nth / max(1, points - 1))
            first, broken = await _download(system, item.path, at)
            if broken:
                until = asyncio.get_running_loop().time() + LONGEST_SILENCE
                second, again = b"", True
                while again and asyncio.get_running_loop().time() < until:
                    second, again = await _download(system, item.path, -1)
                    await asyncio.sleep(0.5)
                right, how = second == item.content and not again, "broken off, then right"
            else:
                right, how = first == item.content, "right on the same connection"
            where = f"fetcher killed at byte {at:,} of {len(item.content):,} ({item.protocol})"
            lines.append(f"{where}: {how if right else 'WRONG'}")
    finally:
        upstream.bytes_per_second = 0
    return lines


async def _download(system: System, path: str, kill_at: int) -> tuple[bytes, bool]:
    """The bytes that came, and whether the transfer was broken off or refused."""
    received, killed = bytearray(), kill_at < 0
    timeout = aiohttp.ClientTimeout(total=None, sock_read=LONGEST_SILENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(system.base + path) as answer,
        ):
            async for piece in answer.content.iter_any():
                received += piece
                if not killed and len(received) >= kill_at:
                    killed = True
                    system.signal("fetcher", signal.SIGKILL)
            return bytes(received), answer.status != 200
    except aiohttp.ClientError:
        return bytes(received), True
