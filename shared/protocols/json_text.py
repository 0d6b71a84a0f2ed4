"""JSON objects taken apart one level at a time, for documents of many megabytes.

Values stay undecoded slices of the text (`msgspec.Raw`): what nobody looks at is never decoded, and is
copied into an answer byte for byte. A stranger's text is mended first where some client would read it as it
is (`json_repair`).
"""

from __future__ import annotations

import codecs
from typing import Any

import msgspec

from shared.protocols.json_repair import repaired

Raw = msgspec.Raw
Fields = dict[str, Raw]
"""A JSON object whose values are not decoded."""

_CHUNK = 1 << 20
_BROKEN = (msgspec.DecodeError, RecursionError, ValueError)

_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_any = msgspec.json.Decoder().decode
_decode_tree = msgspec.json.Decoder(dict[str, Any]).decode


def read_object(body: bytes) -> tuple[Fields, bytes]:
    """The top of a JSON object from a stranger, and the text that it is made of: `body` itself, or what
    `repaired` makes of it. All of it has been looked through once, in bounded work and depth. Raises
    `ValueError` if it is none."""
    try:
        return _whole(body), body
    except _BROKEN:
        pass
    try:
        body = repaired(body)
        return _whole(body), body
    except _BROKEN as error:
        raise ValueError("not a JSON object") from error


def _whole(body: bytes) -> Fields:
    decoder = codecs.getincrementaldecoder("utf-8")()  # whole, it would take as much memory again
    for start in range(0, len(body), _CHUNK):
        decoder.decode(body[start : start + _CHUNK])
    decoder.decode(b"", final=True)
    return _decode_fields(body)


def load_object(body: bytes) -> Fields:
    """As `read_object`, where the text is not needed."""
    return read_object(body)[0]


def load_tree(body: bytes) -> dict[str, Any]:
    """A stranger's JSON object, decoded whole. Raises as `read_object` does."""
    try:
        return _decode_tree(body)
    except _BROKEN:
        pass
    try:
        return _decode_tree(repaired(body))
    except _BROKEN as error:
        raise ValueError("not a JSON object") from error


def fields_of(raw: Raw | bytes | memoryview | None) -> Fields:
    """The object in some JSON text, {} for anything else."""
    try:
        return {} if raw is None else _decode_fields(raw)
    except _BROKEN:
        return {}


def value_of(raw: Raw | None) -> Any:
    """The value in some JSON text, None where there is none."""
    try:
        return None if raw is None else _decode_any(raw)
    except _BROKEN:
        return None
