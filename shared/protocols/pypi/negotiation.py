"""Which representation of a simple page a client gets (PEP 691 "Version + Format Selection")."""

from __future__ import annotations

import functools
from urllib.parse import parse_qsl

from shared.errors import NotAcceptable
from shared.http.headers import media_ranges

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
TEXT = "text/html"

_ALIASES = {
    "application/vnd.pypi.simple.latest+json": JSON,
    "application/vnd.pypi.simple.latest+html": HTML,
}
# Representation and exact Content-Type of each type that can be answered, in the order that
# decides between equals: a client that names JSON can read it, and it says the most.
_ANSWERS = {
    JSON: ("json", JSON),
    HTML: ("html", HTML),
    TEXT: ("html", "text/html; charset=utf-8"),
}
# PEP 691: without an Accept header "SHOULD" be HTML; a bare */* is a browser or curl.
DEFAULT = _ANSWERS[TEXT]

_MAX_HEADER_BYTES = 4096
_HINT = "Ask for application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html or text/html."
_NOT_ACCEPTABLE = "none of the types in the Accept header can be answered"


def negotiate(accept: bytes | None, query: bytes = b"") -> tuple[str, str]:
    """Representation ("json" or "html") and exact Content-Type for an Accept header.

    `?format=` in the query wins over the header (PEP 691 "URL Parameter"). Raises
    `NotAcceptable` for a header that excludes all we have, is over 4 kB, or an unknown format.
    """
    if query:
        wanted = _format_parameter(query)
        if wanted is not None:
            return _answer_for_format(wanted)
    if accept is None:
        return DEFAULT
    answer = _negotiate_header(accept) if len(accept) <= _MAX_HEADER_BYTES else None
    if answer is None:
        raise NotAcceptable(_NOT_ACCEPTABLE, hint=_HINT)
    return answer


def format_query(query: bytes) -> str:
    """The query string that a redirect must keep: "?format=…", or "" if there is none."""
    wanted = _format_parameter(query)
    if wanted is None or _ALIASES.get(wanted, wanted) not in _ANSWERS:
        return ""
    return "?format=" + wanted.replace("+", "%2B")


def _format_parameter(query: bytes) -> str | None:
    if b"format" not in query:
        return None
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return None
    for key, value in pairs:
        if key == "format":  # the first one counts
            return value.strip().replace(" ", "+").lower()  # "+" is often sent unescaped
    return None


def _answer_for_format(wanted: str) -> tuple[str, str]:
    answer = _ANSWERS.get(_ALIASES.get(wanted, wanted))
    if answer is None:
        raise NotAcceptable("the format asked for in the address is unknown", hint=_HINT)
    return answer


@functools.lru_cache(maxsize=1024)  # a fleet sends few distinct headers; a hostile client is bounded
def _negotiate_header(accept: bytes) -> tuple[str, str] | None:
    ranges = _parse(accept.decode("latin-1"))
    if not ranges:
        return DEFAULT  # an empty header, or nothing in it that is a media range: as if missing
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen: str | None = None
    for preference, offered in enumerate((JSON, HTML, TEXT)):
        quality, specificity = _match(ranges, offered)
        if specificity == 1:  # matched by */* alone: HTML is the documented default
            preference = -preference
        rank = (quality, specificity, -preference)
        if quality > 0 and (chosen is None or rank > best):
            best, chosen = rank, offered
    return None if chosen is None else _ANSWERS[chosen]


def _match(ranges: dict[str, float], offered: str) -> tuple[float, int]:
    """Quality of the most specific range that covers a type (RFC 9110 §12.5.1), and how specific."""
    if offered in ranges:
        return ranges[offered], 3
    family = offered.partition("/")[0] + "/*"
    if family in ranges:
        return ranges[family], 2
    if "*/*" in ranges:
        return ranges["*/*"], 1
    return 0.0, 0


def _parse(header: str) -> dict[str, float]:
    """Media ranges with their q-values, under the types' own names."""
    ranges: dict[str, float] = {}
    for media, quality in media_ranges(header).items():
        media = _ALIASES.get(media, media)
        ranges[media] = max(quality, ranges.get(media, 0.0))
    return ranges
