"""Bytes in the cache Redis ↔ values. What this version cannot read is None: a miss, not an error."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from shared.models import FORMAT, MOST_REVISION, ArtifactFacts, BreakerState, IndexHead

GENERATION_BYTES = 8  # big-endian, before each body
F = TypeVar("F", IndexHead, ArtifactFacts, BreakerState)

_HEADS = msgspec.msgpack.Decoder(IndexHead)
_FACTS = msgspec.msgpack.Decoder(ArtifactFacts)
_BREAKERS = msgspec.msgpack.Decoder(BreakerState)
encode = msgspec.msgpack.Encoder().encode


def decode_head(raw: bytes) -> IndexHead | None:
    return _readable(_HEADS, raw)


def decode_facts(raw: bytes) -> ArtifactFacts | None:
    return _readable(_FACTS, raw)


def decode_breaker(raw: bytes) -> BreakerState | None:
    return _readable(_BREAKERS, raw)


def _readable(decoder: msgspec.msgpack.Decoder[F], raw: bytes) -> F | None:
    try:
        value = decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if value.format == FORMAT else None


def decode_revision(raw: bytes) -> int | None:
    if not raw.isdigit() or len(raw) > 15:
        return None
    revision = int(raw)
    return revision if revision <= MOST_REVISION else None


def split_body(raw: bytes) -> tuple[int, memoryview] | None:
    """Generation and body, the body without a copy."""
    if len(raw) < GENERATION_BYTES:
        return None
    return int.from_bytes(raw[:GENERATION_BYTES], "big"), memoryview(raw)[GENERATION_BYTES:]


def matching_body(head: IndexHead | None, body: tuple[int, memoryview] | None) -> memoryview | None:
    """A body of another generation than the head's is a missing variant."""
    if head is None or body is None or body[0] != head.bodies_generation:
        return None
    return body[1]
