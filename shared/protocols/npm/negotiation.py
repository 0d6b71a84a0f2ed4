"""Which form of a package's document a client gets (npm registry documentation, "package metadata")."""

from __future__ import annotations

import functools

FULL = "application/json"
ABBREVIATED = "application/vnd.npm.install-v1+json"


_MAX_HEADER_BYTES = 1024


def representation(accept: bytes | None) -> str:
    """ "abbreviated" where that is named and not liked less than JSON; "full" for all else.

    Never a refusal: npm's registry answers JSON whatever the header says, and so clients rely on it.
    """
    if accept is None or len(accept) > _MAX_HEADER_BYTES:
        return "full"
    return _representation(accept)


@functools.lru_cache(maxsize=256)
def _representation(accept: bytes) -> str:
    liked = {FULL: 0.0, ABBREVIATED: 0.0}
    for element in accept.decode("latin-1").lower().split(","):
        media, *parameters = (part.strip() for part in element.split(";"))
        if media in liked:
            liked[media] = max(liked[media], _quality(parameters))
    return "abbreviated" if liked[ABBREVIATED] > 0 and liked[ABBREVIATED] >= liked[FULL] else "full"


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
