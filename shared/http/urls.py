"""Whether an address can be asked for at all: judged in one place, before a client of HTTP refuses it.

An upstream chooses the addresses of its files and where it redirects to.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import idna

MAX_CHARACTERS = 8192  # of a row, and of the request line that servers read (RFC 9112 §3 asks for 8,000)

_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PLAIN_HOST = re.compile(r"[A-Za-z0-9._-]+")


def why_unaskable(url: str) -> str:
    """Why nobody can be asked for an absolute URL; "" if it can be: an http(s) address whose host is a name
    that DNS can have (RFC 5891) or an address, of at most `MAX_CHARACTERS`, without control characters."""
    if len(url) > MAX_CHARACTERS:
        return f"it has more than {MAX_CHARACTERS} characters"
    if _CONTROLS.search(url):
        return "it holds control characters"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https"):
        return f"its scheme is {parts.scheme[:20]!r}"
    if not host or port == 0:
        return "it names no host"
    return "" if _is_host(host, literal="[" in parts.netloc) else "its host is no name that DNS can have"


def _is_host(host: str, *, literal: bool) -> bool:
    if literal:
        try:
            return bool(ipaddress.ip_address(host))
        except ValueError:
            return False
    labels = host.lower().rstrip(".").split(".")
    if _PLAIN_HOST.fullmatch(host) and not any(label.startswith("xn--") for label in labels):
        return all(0 < len(label) <= 63 for label in labels) and len(host) <= 254
    try:
        idna.decode(host) if host.isascii() else idna.encode(host.lower())
    except (idna.IDNAError, UnicodeError):
        return False
    return True
