"""Reading an Accept header (RFC 9110 §12.5.1)."""

from __future__ import annotations


def media_ranges(header: str) -> dict[str, float]:
    """Media ranges in lower case with their q-values; elements that are malformed are left out."""
    ranges: dict[str, float] = {}
    for element in header.split(","):
        media, *parameters = element.split(";")
        media = media.strip().lower()
        kind, slash, subtype = media.partition("/")
        if not slash or not kind or not subtype or (kind == "*" and subtype != "*"):
            continue
        quality: float | None = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                quality = _quality(value.strip())
        if quality is not None:
            ranges[media] = max(quality, ranges.get(media, 0.0))
    return ranges


def _quality(text: str) -> float | None:
    """A q-value (RFC 9110 §12.4.2): 0 to 1, or None for anything else."""
    if not text or len(text) > 8 or not all(character in "0123456789." for character in text):
        return None
    try:
        quality = float(text)
    except ValueError:
        return None
    return quality if quality <= 1.0 else None
