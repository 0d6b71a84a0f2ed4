"""Writers over a test's stores, and the whole log as a reader sees it."""

from __future__ import annotations

import asyncio

from services.extractor.transparency.keeper import LogKeeper
from shared.stores import Stores
from shared.tlog.making import Tile, width
from shared.tlog.notes import Checkpoint, Key
from shared.tlog.proofs import TILE, check_mirror, read_bundle, tile_path
from shared.tlog.signing import Signer, new_signer_text, read_signer
from shared.transparency.reader import LogReader
from shared.transparency.rows import LogRows

KEY_TEXT = new_signer_text("logs.example/writer")
SIGNER = read_signer(KEY_TEXT)

FILL = """
INSERT INTO log_outbox (at, kind, body)
SELECT now(), 'admission', jsonb_build_object('protocol', 'pypi', 'project', 'demo', 'file_id', '', 'file',
    'demo-' || n || '.whl', 'role', 'file', 'size', n,
    'digests', jsonb_build_object('sha256', encode(sha256(('x' || n)::bytea), 'hex')))
FROM generate_series($1::int, $2::int - 1) AS n
"""


def keeper(stores: Stores, signer: Signer = SIGNER) -> LogKeeper:
    """One that nobody has opened: `run` is called by hand."""
    return LogKeeper(stores, signer)


async def fill(stores: Stores, first: int, end: int) -> None:
    """So many admissions that wait."""
    await stores.database.execute(FILL, first, end)


async def whole_log(stores: Stores, key: Key = SIGNER.key, old: Checkpoint | None = None) -> Checkpoint:
    """Every entry and tile, checked against the newest checkpoint. Raises `Unproven`."""
    reader = LogReader(LogRows(stores.database), stores.objects)
    state = await reader.state()
    files = {"checkpoint": state.checkpoint}
    for index in range(-(-state.checkpoint_size // TILE)):
        wide = min(TILE, state.checkpoint_size - index * TILE)
        files[tile_path("entries", index, wide)] = await reader.bundle(index, wide) or b""
    level = 0
    while state.checkpoint_size >> 8 * level:
        for index in range(-(-(state.checkpoint_size >> 8 * level) // TILE)):
            tile = Tile(level, index)
            wide = width(tile, state.checkpoint_size)
            files[tile_path(level, index, wide)] = await reader.hashes(tile, wide) or b""
        level += 1
    return await asyncio.to_thread(check_mirror, files.__getitem__, key, old)


async def numbers(stores: Stores) -> list[int]:
    """Which of `fill`'s admissions the log has, in its order."""
    reader = LogReader(LogRows(stores.database), stores.objects)
    state = await reader.state()
    found: list[int] = []
    for index in range(-(-state.size // TILE)):
        data = await reader.bundle(index, min(TILE, state.size - index * TILE)) or b""
        found += [int(each.split(b'"size":')[1].split(b",")[0].rstrip(b"}")) for each in read_bundle(data)]
    return found
