"""The transparency log: as C2SP tlog-tiles has it under `/tlog/`, and what the API says of it.

Readers may read all of it. Who checks it needs `/tlog/verify.pyz` alone (`pages/command.py`).
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import Parameter

from services.gateway.api.parameters import check_sha256, number
from shared.errors import ConfigurationError, EntryNotFound, InvalidParameter
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.settings import Settings
from shared.tlog.making import Tile, width
from shared.tlog.notes import MOST_NOTE_BYTES, Key, read_key
from shared.tlog.proofs import TILE, tile_path, write_proof
from shared.tlog.trees import Unproven
from shared.transparency.cosigning import cosigned, read_witnesses, witnessed
from shared.transparency.imported import ImportedRows
from shared.transparency.reader import LogReader, checkpoint_of
from shared.transparency.rows import LogState

NOTE = "text/plain; charset=utf-8"
TAGS = ["log"]
_FRESH = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
_FOREVER = {"cache-control": "max-age=31536000, immutable", "x-content-type-options": "nosniff"}
_TILE = re.compile(r"(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")
_TILES = "Tiles lie where C2SP tlog-tiles has them; /tlog/checkpoint says how many there are."
_WITNESSES = "ORCHARD_LOG_WITNESSES names those whose cosignatures are kept (docs/transparency.md)."
_LATER = (
    "An entry is in the log some seconds after its file was stored, if a log is kept (docs/transparency.md)."
)


class Log(msgspec.Struct, frozen=True):
    """A log, and how far it is."""

    name: str
    key: str  # name+id+base64: who checks the log needs it, from where it is trusted
    size: int  # entries that the newest checkpoint covers
    waiting: int  # entries that are numbered and not in a checkpoint yet
    cosigned_size: int  # of the newest checkpoint that a witness has cosigned; -1: none
    cosigned_by: list[str]
    witnesses: list[str]  # keys of those whose cosignatures are taken


class Cosigned(msgspec.Struct, frozen=True):
    """What became of a cosigned checkpoint. `kept` false: a newer one is kept."""

    size: int
    kept: bool
    cosigned_by: list[str]


@get("/tlog/checkpoint", summary="The log's newest checkpoint: a signed note", tags=TAGS)
async def checkpoint(log_reader: LogReader) -> Response[bytes]:
    """With the cosignatures of witnesses that have seen the same."""
    return Response(checkpoint_of(await _begun(log_reader)), media_type=NOTE, headers=_FRESH)


@get("/tlog/checkpoint.cosigned", summary="The newest checkpoint that a witness has cosigned", tags=TAGS)
async def cosigned_checkpoint(log_reader: LogReader) -> Response[bytes]:
    """Older than the newest checkpoint, as a rule."""
    state = await _begun(log_reader)
    if not state.cosigned:
        raise EntryNotFound("no witness has cosigned a checkpoint of this log", hint=_WITNESSES)
    return Response(state.cosigned, media_type=NOTE, headers=_FRESH)


@get("/tlog/tile/{path:path}", summary="A tile, or a bundle of entries, of the log", tags=TAGS)
async def tile(log_reader: LogReader, path: str) -> Response[bytes]:
    """`{level}/{index}` or `entries/{index}`, with `.p/{width}` of a partial one (C2SP tlog-tiles)."""
    found = _TILE.fullmatch(path.lstrip("/"))
    if found is None:
        raise EntryNotFound("no tile of a log has that address", hint=_TILES)
    level, index = found[1], int(found[2].replace("x", "").replace("/", ""))
    wide = int(found[3]) if found[3] else TILE
    if not 0 < wide <= TILE or f"tile/{path.lstrip('/')}" != tile_path(level, index, wide):
        raise EntryNotFound("no tile of a log has that address", hint=_TILES)
    size = (await _begun(log_reader)).checkpoint_size
    is_bundle = level == "entries"
    place = Tile(0 if is_bundle else int(level), index)
    data = None
    if wide <= width(place, size):
        data = await (log_reader.bundle(index, wide) if is_bundle else log_reader.hashes(place, wide))
    if data is None:
        raise EntryNotFound(f"the log of {size} entries has no such tile", hint=_TILES)
    return Response(data, media_type="application/octet-stream", headers=_FOREVER)


@post(
    "/tlog/cosignatures",
    summary="Hand in a checkpoint that a witness has cosigned",
    tags=TAGS,
    status_code=200,
)
async def cosignatures(
    request: Request[Any, Any, Any], log_reader: LogReader, settings: Settings, parsers: BoundedThreads
) -> Cosigned:
    """The body is the note, signed by this log and by witnesses of `ORCHARD_LOG_WITNESSES` (C2SP
    tlog-cosignature)."""
    body = await request.body()
    if len(body) > MOST_NOTE_BYTES:
        raise InvalidParameter("body: too long for a checkpoint")
    witnesses = _witnesses(settings)
    for _ in range(5):  # others hand in theirs at the same time
        state = await _begun(log_reader)
        try:
            found, note = await parsers.run(cosigned, body, read_key(state.key), witnesses, state.cosigned)
        except Unproven as error:
            raise InvalidParameter(f"body: {error}") from None
        if found.size < state.cosigned_size:
            return Cosigned(found.size, False, witnessed(note, witnesses))
        if note == state.cosigned or await log_reader.rows.cosign(note, found.size, state.cosigned):
            return Cosigned(found.size, True, witnessed(note, witnesses))
    return Cosigned(found.size, False, witnessed(note, witnesses))


@get("/api/v1/log", summary="The transparency log: its key, and how far it is", tags=TAGS)
async def log(log_reader: LogReader, settings: Settings) -> Log:
    """404 where no log is kept."""
    state, witnesses = await _begun(log_reader), _witnesses(settings)
    return Log(
        name=read_key(state.key).name,
        key=state.key,
        size=state.checkpoint_size,
        waiting=state.size - state.checkpoint_size,
        cosigned_size=state.cosigned_size,
        cosigned_by=witnessed(state.cosigned, witnesses),
        witnesses=[str(each) for each in witnesses],
    )


@get("/api/v1/log/proof", summary="Proof that a file's admission is in the log", tags=TAGS)
async def proof(
    log_reader: LogReader,
    database: Database,
    sha256: Annotated[str, Parameter(description="Of the file's bytes, in hex")],
    key: Annotated[str, Parameter(description="Of the log; unset: of this Orchard's own")] = "",
) -> Response[bytes]:
    """A C2SP tlog-proof: the entry, its place, hashes that lead to the root, and a checkpoint. With the key
    of another Orchard's log: the proof that came with the file in a bundle of that."""
    digest = check_sha256(sha256)
    if key:
        told = await ImportedRows(database).proof(digest, key)
        if told is not None:
            return Response(told, media_type=NOTE, headers=_FRESH)
    found = None if key and key != (await log_reader.state()).key else await log_reader.proof(digest)
    if found is None:
        raise EntryNotFound("the log says nothing of a file with this digest", hint=_LATER)
    return Response(write_proof(found), media_type=NOTE, headers=_FRESH)


@get("/api/v1/log/consistency", summary="Proof that the log only grew", tags=TAGS)
async def consistency(
    log_reader: LogReader,
    old: Annotated[str, Parameter(description="The size of a checkpoint that was seen before")],
    size: Annotated[str, Parameter(description="That of a later one; unset: of the newest")] = "",
) -> Response[bytes]:
    """Hashes in base64, one a line (RFC 6962 §2.1.2)."""
    newest = (await _begun(log_reader)).checkpoint_size
    before, after = number("old", old, 0), number("size", size, newest)
    if not before <= after <= newest:
        raise InvalidParameter(f"old, size: expected old <= size <= {newest}")
    hashes = await log_reader.consistency(before, after)
    body = b"".join(base64.b64encode(each) + b"\n" for each in hashes)
    return Response(body, media_type=NOTE, headers=_FRESH)


async def _begun(log_reader: LogReader) -> LogState:
    """Raises `EntryNotFound` before the first checkpoint."""
    state = await log_reader.state()
    if state.checkpoint_size < 0:
        raise EntryNotFound("this Orchard keeps no transparency log", hint=_LATER)
    return state


def _witnesses(settings: Settings) -> tuple[Key, ...]:
    """Raises `ConfigurationError`."""
    try:
        return read_witnesses(settings.log_witnesses)
    except Unproven as error:
        raise ConfigurationError(f"ORCHARD_LOG_WITNESSES: {error}") from None


HANDLERS = [
    checkpoint,
    cosigned_checkpoint,
    tile,
    cosignatures,
    log,
    proof,
    consistency,
]
