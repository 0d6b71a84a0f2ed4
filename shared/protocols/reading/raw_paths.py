"""From an undecoded request path to its segments, for the grammars of all protocols.

Works on raw bytes, because frameworks decode before they route and then "..%2f" and "%00" reach
handlers. What no name can hold is refused here, before any key or job.
"""

from __future__ import annotations

import re

from shared.errors import MalformedRequest, MethodNotAllowed, UriTooLong

MAX_PATH_BYTES = 2048

_PLAIN = re.compile(rb"[A-Za-z0-9._~!+/-]*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_REFUSED_AFTER_DECODING = re.compile(rb"[^\x21-\x7e]|[/\\;%]")


def read_segments(method: str, raw_path: bytes) -> list[str]:
    """The path's segments, percent-decoded once; "" last stands for a slash at the end.

    Raises `UriTooLong`, `MethodNotAllowed` for all but GET and HEAD, and `MalformedRequest` for empty
    and dot segments, encoded slashes, control and non-ASCII characters.
    """
    if len(raw_path) > MAX_PATH_BYTES:
        raise UriTooLong(f"the path is longer than {MAX_PATH_BYTES} bytes")
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed(f"{method[:20]} is not possible here")
    if not raw_path.startswith(b"/"):
        raise MalformedRequest("the path does not start with a slash")
    raw_segments = raw_path[1:].split(b"/")
    if b"" in raw_segments[:-1]:
        raise MalformedRequest("the path has an empty segment")
    if _PLAIN.fullmatch(raw_path) is None:
        raw_segments = [_decode(segment) for segment in raw_segments]
    if b"." in raw_segments or b".." in raw_segments:
        raise MalformedRequest("the path has a dot segment")
    return [segment.decode("ascii") for segment in raw_segments]


def _decode(segment: bytes) -> bytes:
    if segment.count(b"%") != len(_ESCAPE.findall(segment)):
        raise MalformedRequest("the path has a broken percent escape")
    decoded = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), segment)
    if _REFUSED_AFTER_DECODING.search(decoded):
        raise MalformedRequest("the path has a character that no package name or file name has")
    return decoded
