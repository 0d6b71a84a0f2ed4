"""What of a body goes out: all of it, the piece that a Range names, or none (RFC 9110 §14)."""

from __future__ import annotations

from services.gateway.serving.ports import CacheWord, Reply
from shared.errors import RangeNotSatisfiable
from shared.http.conditions import Conditions, Unsatisfiable, asked_range

Piece = tuple[int, int]
"""Start and length in bytes."""


def cut(
    reply: Reply, conditions: Conditions, *, etag: str, size_bytes: int, what: str
) -> tuple[Reply, Piece | None]:
    """The 200 of a body of so many bytes, or the 206 or 416 in its place, and the piece that is its body.

    None instead of the piece: it has no body. `what`, for a person: the file's or page's name.
    """
    if not conditions.head:
        wanted = asked_range(conditions, etag, size_bytes)
        if isinstance(wanted, Unsatisfiable):
            return unsatisfiable(reply.cache, what, size_bytes), None
        if wanted is not None:
            last = wanted.start + wanted.length - 1
            reply.status = 206
            reply.headers.append((b"content-range", b"bytes %d-%d/%d" % (wanted.start, last, size_bytes)))
            reply.headers.append((b"content-length", b"%d" % wanted.length))
            return reply, (wanted.start, wanted.length)
    reply.headers.append((b"content-length", b"%d" % size_bytes))
    return reply, None if conditions.head else (0, size_bytes)


def unsatisfiable(word: CacheWord, what: str, size_bytes: int) -> Reply:
    """The 416 for a range that begins past the end (RFC 9110 §15.5.17)."""
    error = RangeNotSatisfiable(f"{what} has {size_bytes} bytes")
    return Reply(416, word, [(b"content-range", b"bytes */%d" % size_bytes)], error=error)
