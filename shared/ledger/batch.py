"""A batch of servings, as gateways put it into the queue Redis and an extractor takes it out
(docs/decisions/0041).

What repeats stands once: a serving names its client and its file by their place in the batch. Arrays, not
maps: fields are only ever added at the end, with a default, and a reader passes over those that it does not
know.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec

FORMAT: Final = 1
LARGEST_BYTES: Final = 32 * 1024 * 1024  # of a batch unpacked; ours have a hundredth of it

SERVED, PARTIAL, REDIRECTED, REFUSED = range(4)
RESULTS: Final = ("served", "partial", "redirected", "refused")
"""By their number in a batch and in the row. served: the whole file went out. partial: a range of it.
redirected: the client was sent to the object store. refused: a rule withheld it, and `code` says which."""


class Client(msgspec.Struct, frozen=True, array_like=True):
    """Who asked. `token`: its name; "" without one. `tool`, `version`: as `agents.py` of the gateway reads
    them out of the User-Agent."""

    address: str
    token: str
    tool: str
    version: str


class File(msgspec.Struct, frozen=True, array_like=True):
    """What was asked for. `version` canonical; `filename` and `sha256` (hex) are "" where nothing is known
    of them: a refused page has neither."""

    protocol: str
    project: str
    version: str
    filename: str
    sha256: str


class Serving(msgspec.Struct, frozen=True, array_like=True):
    """One or more like servings of one second. `client`, `file`: places in the batch."""

    at: float  # unix seconds, of the first
    client: int
    file: int
    result: int  # place in `RESULTS`
    cache: str  # what X-Cache said
    code: str  # of the error that refused it
    times: int
    size_bytes: int  # that went out, of all


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Of one gateway process, `instance`, its batch `number`, counted from 1: together they name a batch, and
    who has kept number n of an instance has kept, or will never get, all before it."""

    format: int
    instance: str
    number: int
    dropped: int  # servings that this gateway had to drop since the batch before
    clients: list[Client]
    files: list[File]
    servings: list[Serving]


class _Head(msgspec.Struct, frozen=True, array_like=True):
    format: int


class UnknownFormat(Exception):
    """Of a later version: for an extractor that knows it."""


class Damaged(Exception):
    """No batch at all."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode
_head = msgspec.msgpack.Decoder(_Head).decode


def encode_batch(batch: Batch | tuple[Any, ...]) -> bytes:
    """Compressed at the level that costs a gateway least. What is no struct has the fields of one in their
    order."""
    return zlib.compress(_encode(batch), 1)


def encode_file(file: File) -> msgspec.Raw:
    """To be put into batches as it is."""
    return msgspec.Raw(_encode(file))


def decode_batch(data: bytes) -> Batch:
    """Raises `UnknownFormat`, `Damaged`."""
    try:
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(data, LARGEST_BYTES)
        if not unpacking.eof:
            raise Damaged("too large, or cut off")
        if _head(plain).format != FORMAT:
            raise UnknownFormat
        batch = _decode(plain)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(type(error).__name__) from None
    for each in batch.servings:
        if not (
            0 <= each.client < len(batch.clients)
            and 0 <= each.file < len(batch.files)
            and 0 <= each.result < len(RESULTS)
        ):
            raise Damaged("a serving names what is not there")
    return batch
