"""What a client's conditional and negotiating headers mean (RFC 9110), as pure functions of bytes."""

from __future__ import annotations

import sys

import msgspec

CODINGS = ("zstd", "gzip", "identity")
"""The content-codings of index pages, the preferred first (RFC 8878, RFC 1952)."""


class Conditions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a request, beside its resource, that shape the reply. Header values are raw bytes."""

    head: bool = False  # HEAD: headers only
    codings: tuple[str, ...] = ("identity",)  # acceptable for index pages, the preferred first
    base_url: str = ""  # public URL of the protocol's mount point, for bodies with absolute URLs
    shown_url: str = ""  # what is put in for `base_url` on the way out; "" = it is shown itself
    no_cache: bool = False  # Cache-Control: no-cache (max-age=0 is deliberately not honoured)
    if_none_match: bytes = b""
    if_modified_since: bytes = b""
    if_range: bytes = b""
    range: bytes = b""
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/http/via.py)
    edge: bool = False  # answers carry their Surrogate-Key, for caches in front
    needs_length: bool = False  # HTTP/1.0: an end without a length looks like the end of the file


class ByteRange(msgspec.Struct, frozen=True):
    """A satisfiable range of a representation: `start` inclusive, `length` bytes."""

    start: int
    length: int


class Unsatisfiable(msgspec.Struct, frozen=True):
    """A well-formed range that starts past the end: 416 (RFC 9110 §15.5.17)."""


def accepted_codings(accept_encoding: bytes | None, offered: tuple[str, ...] = CODINGS) -> tuple[str, ...]:
    """The content-codings to answer with, the best first (RFC 9110 §12.5.3).

    By weight, ties by the order of `offered`. `identity`, which is acceptable unless it is excluded, is there
    only where the header prefers it or accepts nothing else: a body that every client can read beats a 406.
    """
    if not accept_encoding or offered == ("identity",):
        return ("identity",)
    weights: dict[str, float] = {}
    for part in accept_encoding[:2048].decode("latin-1").lower().split(","):
        name, _, parameters = part.partition(";")
        weights[name.strip().replace("x-gzip", "gzip")] = _weight(parameters)
    others = weights.get("*", 0.0)  # an unlisted coding is acceptable only through it
    found = {coding: weights.get(coding, others) for coding in offered}
    found["zstd"] = weights.get("zstd", 0.0)  # those who write "*" are older than it
    best = sorted((coding for coding in offered if found[coding] > 0), key=lambda coding: -found[coding])
    return tuple(best) or ("identity",)


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value.strip())
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0


def wants_revalidation(cache_control: bytes | None) -> bool:
    """Whether a request's Cache-Control asks for an answer confirmed by the origin (RFC 9111 §5.2.1.4)."""
    if not cache_control or b"no-cache" not in cache_control.lower():
        return False
    return any(part.strip().lower() == b"no-cache" for part in cache_control.split(b","))


def etag_matches(if_none_match: bytes, etag: str) -> bool:
    """Weak comparison of a list of entity tags, or `*`, with the current one (RFC 9110 §13.1.2)."""
    if not if_none_match:
        return False
    wanted = etag.removeprefix("W/").encode("latin-1")
    if if_none_match in (wanted, b"*") or if_none_match.strip() == b"*":
        return True
    if wanted not in if_none_match:
        return False
    return any(part.strip().removeprefix(b"W/") == wanted for part in if_none_match[:8192].split(b","))


def is_not_modified(if_none_match: bytes, if_modified_since: bytes, etag: str, modified: bytes) -> bool:
    """Whether the client has it: If-None-Match, else If-Modified-Since, before any Range (RFC 9110 §13.2.2).

    The date, `modified`, is taken for a validator, as it was sent (§13.1.3 allows that): it may go back when
    another source takes over, and "not later" would keep a client on the other one's bytes.
    """
    if if_none_match:
        return etag_matches(if_none_match, etag)
    return bool(modified) and if_modified_since.strip() == modified


def asked_range(conditions: Conditions, etag: str, size_bytes: int) -> ByteRange | Unsatisfiable | None:
    """The piece of a body that a request asks for; None: the whole."""
    if not conditions.range or not range_applies(conditions.if_range, etag):
        return None
    return parse_range(conditions.range, size_bytes)


def asks_little(conditions: Conditions, etag: str, most_bytes: int) -> bool:
    """Whether a request asks for a piece of at most so many bytes, however large the body is."""
    wanted = asked_range(conditions, etag, sys.maxsize)
    return isinstance(wanted, ByteRange) and wanted.length <= most_bytes


def range_applies(if_range: bytes, etag: str) -> bool:
    """Whether a Range header is to be honoured under If-Range (RFC 9110 §13.1.5).

    Strong comparison only; a date never matches, since it is no strong validator here.
    """
    return not if_range or (bool(etag) and if_range.strip() == etag.encode("latin-1"))


def parse_range(value: bytes, size_bytes: int) -> ByteRange | Unsatisfiable | None:
    """The single byte range that a Range header asks of a body of `size_bytes` (RFC 9110 §14.1.2).

    None: serve the whole (no header, another unit, malformed, or several ranges, which would let a
    small request make a large reply).
    """
    unit, equals, spec = value.partition(b"=")
    if not equals or unit.strip().lower() != b"bytes" or len(spec) > 64:
        return None
    first, dash, last = spec.strip().partition(b"-")
    if not dash or (first and not first.isdigit()) or (last and not last.isdigit()):
        return None
    if not first:
        if not last:
            return None
        length = min(int(last), size_bytes)
        return ByteRange(size_bytes - length, length) if length else Unsatisfiable()
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size_bytes:
        return Unsatisfiable()
    end = min(int(last), size_bytes - 1) if last else size_bytes - 1
    return ByteRange(start, end - start + 1)
