"""What a client's conditional and negotiating headers mean (RFC 9110), as pure functions of bytes."""

from __future__ import annotations

import msgspec


class Conditions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a request, beside its resource, that shape the reply. Header values are raw bytes."""

    head: bool = False  # HEAD: headers only
    coding: str = "identity"  # the content-coding chosen for index pages
    base_url: str = ""  # public URL of the protocol's mount point, for bodies with absolute URLs
    shown_url: str = ""  # what is put in for `base_url` on the way out; "" = it is shown itself
    no_cache: bool = False  # Cache-Control: no-cache (max-age=0 is deliberately not honoured)
    if_none_match: bytes = b""
    if_modified_since: bytes = b""
    if_range: bytes = b""
    range: bytes = b""
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/via.py)
    needs_length: bool = False  # HTTP/1.0: an end without a length looks like the end of the file


class ByteRange(msgspec.Struct, frozen=True):
    """A satisfiable range of a representation: `start` inclusive, `length` bytes."""

    start: int
    length: int


class Unsatisfiable(msgspec.Struct, frozen=True):
    """A well-formed range that starts past the end: 416 (RFC 9110 §15.5.17)."""


def choose_coding(accept_encoding: bytes | None, offered: tuple[str, ...] = ("gzip", "identity")) -> str:
    """The content-coding to answer with (RFC 9110 §12.5.3).

    The highest weight wins, ties by the order of `offered`. Without the header, or where nothing
    on offer is acceptable, it is `identity`: a body that every client can read beats a 406.
    """
    if not accept_encoding or offered == ("identity",):
        return "identity"
    weights: dict[str, float] = {}
    for part in accept_encoding[:2048].decode("latin-1").lower().split(","):
        name, _, parameters = part.partition(";")
        weights[name.strip().replace("x-gzip", "gzip")] = _weight(parameters)
    wildcard = weights.get("*")
    best, best_weight = "identity", 0.0
    for coding in offered:
        weight = weights.get(coding)
        if weight is None:
            # Unlisted identity is acceptable unless "*;q=0" excludes it, but anything listed is
            # preferred to it; an unlisted coding is acceptable only through "*".
            weight = wildcard if wildcard is not None else (0.0001 if coding == "identity" else 0.0)
        if weight > best_weight:
            best, best_weight = coding, weight
    return best


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
    if if_none_match.strip() == b"*":
        return True
    wanted = etag.removeprefix("W/").encode("latin-1")
    if wanted not in if_none_match:
        return False
    return any(part.strip().removeprefix(b"W/") == wanted for part in if_none_match[:8192].split(b","))


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
    if not equals or unit.strip().lower() != b"bytes" or b"," in spec or len(spec) > 64:
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
