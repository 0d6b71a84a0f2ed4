"""Which form of a package's document a client gets (npm registry documentation, "package metadata")."""

from __future__ import annotations

import functools

from shared.http.headers import media_ranges

FULL = "application/json"
ABBREVIATED = "application/vnd.npm.install-v1+json"

_MAX_HEADER_BYTES = 1024


def representation(accept: bytes | None) -> str:
    """ "abbreviated" where that is named and not liked less than JSON; "full" for all else.

    Never a refusal: npm's registry answers JSON whatever the header says, and so clients rely on it.
    """
    return "full" if accept is None or len(accept) > _MAX_HEADER_BYTES else _representation(accept)


@functools.lru_cache(maxsize=256)
def _representation(accept: bytes) -> str:
    liked = media_ranges(accept.decode("latin-1"))
    abbreviated = liked.get(ABBREVIATED, 0.0)
    return "abbreviated" if abbreviated > 0 and abbreviated >= liked.get(FULL, 0.0) else "full"
