"""JSON objects taken apart one level at a time, for documents of many megabytes.

Values stay undecoded slices of the text (`msgspec.Raw`): what nobody looks at is never decoded, and is copied
into an answer byte for byte. Broken text is repaired first where some client would read it as it is: what
installers tolerate, Orchard tolerates.

Nobody reads the values that are usually broken (a readme cut in the middle of an emoji, a Latin-1 author).
Replaced is only what no name, version, address or digest can hold, so an entry that matters and is broken is
still refused by its own grammar.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any

import msgspec

_CHUNK = 1 << 20

# A surrogate escape behind an even number of backslashes: a pair, or half of one.
_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*+)\\u"
    rb"(?:([dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2})|[dD][89a-fA-F][0-9A-Fa-f]{2})"
)
# Strings are matched only to be skipped: whatever is found as the other group stands outside of them.
_STRING_OR_NUMBER = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(-?+(?:NaN|Infinity|[0-9]++(?:\.[0-9]++)?+[eE]\+?+[0-9]{3,}+))', re.DOTALL
)


def repaired(body: bytes) -> bytes:
    """The text as UTF-8 without a BOM, with U+FFFD for bytes that are none and for lone surrogate escapes
    (RFC 8259 §8.2), and null for numbers that JSON or a double cannot hold. Nothing else changes: what was
    no JSON for another reason still is none.
    """
    text = _SURROGATE.sub(_whole_or_replaced, _as_utf8(body))
    return _STRING_OR_NUMBER.sub(_finite_or_null, text)


def _as_utf8(body: bytes) -> bytes:
    """UTF-16 and UTF-32 are recognised by their BOM or their zeros (RFC 4627 §3)."""
    coding = json.detect_encoding(body)
    body = body.removeprefix(codecs.BOM_UTF8)
    if coding == "utf-8-sig":
        coding = "utf-8"
    decoder = codecs.getincrementaldecoder(coding)("replace")  # whole, it would take several times the memory
    pieces = [
        decoder.decode(body[start : start + _CHUNK]).encode("utf-8", "replace")
        for start in range(0, len(body), _CHUNK)
    ]
    pieces.append(decoder.decode(b"", final=True).encode("utf-8", "replace"))
    return b"".join(pieces)


def _whole_or_replaced(found: re.Match[bytes]) -> bytes:
    return found[0] if found[2] else found[1] + rb"\ufffd"


def _finite_or_null(found: re.Match[bytes]) -> bytes:
    number = found[1]
    if number is None or (number[-1:].isdigit() and math.isfinite(float(number))):
        return found[0]
    return b"null"


Raw = msgspec.Raw
Fields = dict[str, Raw]
"""A JSON object whose values are not decoded."""

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
    """An untrusted JSON object, decoded whole. Raises as `read_object` does."""
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
