"""The texts of environment variables as values, and what is said of one that cannot be read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

LONGEST_AGE_SECONDS = 400 * 86_400
"""Of what was seen longer ago not all is remembered: a minimum age cannot ask for more."""

LAST_MOMENT = 253_402_300_800.0  # unix seconds: the end of the year 9999, in UTC

SEVERITIES = {"critical": 9.0, "high": 7.0, "medium": 4.0, "low": 0.1}
"""The least CVSS score of each (CVSS 3.1 §5)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SCORE = re.compile(r"[0-9]{1,2}(?:\.[0-9]+)?")
_AGE = re.compile(r"(?:([0-9]{1,5}) ?([dh])|0)?")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "bool | null": "true or false",
}


def age(text: str) -> float:
    """Seconds of "7d", "36h" or "0"; 0 of nothing. Raises `msgspec.ValidationError`."""
    found = _AGE.fullmatch(text)
    seconds = 0.0 if found is None or not found[1] else int(found[1]) * (86_400 if found[2] == "d" else 3_600)
    if found is None or seconds > LONGEST_AGE_SECONDS:
        raise msgspec.ValidationError("expected days or hours, up to 400 days: 7d, 36h, or 0")
    return seconds


def date(text: str) -> float:
    """Unix seconds of a date, of its beginning in UTC, or of a moment (RFC 3339); 0 of nothing. Raises
    `msgspec.ValidationError`."""
    if not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if not 0 < seconds < LAST_MOMENT:  # 0 would be no date
            raise ValueError(text)
        return seconds
    except (ValueError, OverflowError):
        raise msgspec.ValidationError("expected a date: 2026-11-01, or 2026-11-01T12:00:00Z") from None


def severity(text: str) -> float | None:
    """The least CVSS score that is meant by a word or a number; 0 of "any", None of nothing. Raises
    `msgspec.ValidationError`."""
    if not text:
        return None
    words = {"any": 0.0, **SEVERITIES}
    if text.lower() in words:
        return words[text.lower()]
    if _SCORE.fullmatch(text) is None or not 0 < float(text) <= 10:
        raise msgspec.ValidationError("expected low, medium, high, critical, any, or a CVSS score: 7.5")
    return float(text)


def check_printable(is_list: bool, text: str) -> None:
    """Nothing that a setting names holds a line break or another control character; between the parts of a
    list they may stand. Raises `msgspec.ValidationError`."""
    for part in addresses(text) if is_list else (text,):
        if _CONTROL.search(part):
            raise msgspec.ValidationError("must hold no line break and no other control character")


def network(text: str) -> str:
    """An address or a network of clients as it is compared: what maps IPv4 into IPv6 (RFC 4291, 2.5.5.2) as
    the IPv4 that it is. Raises `ValueError`, one line."""
    if "%" in text:  # RFC 4007: it means something on one machine alone
        raise ValueError(f"{text[:60]!r} names a zone of one machine, which no client's address has here")
    try:
        found = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"expected an address or a network such as 10.0.0.0/8, not {text[:60]!r}") from None
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is None or found.prefixlen < 96:
        return text.strip()
    return str(IPv4Network((mapped, found.prefixlen - 96), strict=False))


def addresses(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def plain(error: msgspec.ValidationError) -> str:
    """An error in words for people."""
    text = str(error)
    if text[:1].islower():
        return text  # our own
    text = text.replace("`", "").lower()
    for kind, words in _KINDS.items():
        if text.startswith(f"expected {kind}, got"):
            return f"expected {words}"
    return text.replace("expected int", "expected a number").replace("expected float", "expected a number")
