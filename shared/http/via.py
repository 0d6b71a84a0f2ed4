"""Orchard's own `Via` header: sent with every upstream request, refused when it comes back in.

RFC 9110 §7.6.3: a proxy names itself in Via, and finds a request loop by its own name. The name is drawn at
random for an installation and kept in its database (`installation`), so that all its services share it and no
other has it: names made of addresses are alike in all that were set up alike. Services read it with their
tokens (`AccessState.installation`), so that a gateway that starts without a database has it of the copy.

An Orchard that asks is told who answers: its response carries `Via` too, with the version in a comment, which
is how an upstream is known to be one (docs/decisions/0038). Other clients are told nothing.

What came in is sent on, or a loop over two installations would be seen by neither: names travel with a job
(`via`), and `received` holds those of the work that runs.
"""

from __future__ import annotations

import re
from contextvars import ContextVar

import msgspec

from shared.version import VERSION

PROTOCOL_VERSION = "1.1"
ERROR_HEADER = "x-orchard-error"
"""The code of an error answer (docs/errors.md), in every protocol's form and for HEAD."""

MAX_HOPS = 8
_NAME = re.compile(r"orchard-[0-9a-f]{8,64}")
_TELLER = re.compile(r"\S+ (orchard-[0-9a-f]{8,64}) \(Orchard/([0-9A-Za-z.+-]{1,40})\)")

received: ContextVar[str] = ContextVar("received_via", default="")
"""Names of the installations that the request came through, separated by commas, the first one first."""


class Installation(msgspec.Struct, frozen=True):
    """Another Orchard, as it names itself."""

    name: str  # in Via: "orchard-…"
    version: str


def name_of(installation: str) -> str:
    """The name of an installation in Via; "" while its id is not known."""
    return f"orchard-{installation}" if installation else ""


def via_value(own: str, before: str = "") -> str:
    """The header's value: "1.1 orchard-…, 1.1 orchard-…", ending with one's own name; "" without any."""
    return ", ".join(f"{PROTOCOL_VERSION} {name}" for name in [*before.split(","), own] if name)


def names_in(header: str) -> list[str]:
    """The names of Orchards in a received header, which may be anything."""
    parts = [part.split() for part in header.split(",")]
    return [part[1] for part in parts if len(part) >= 2 and _NAME.fullmatch(part[1])]


def loops(names: list[str], own: str) -> bool:
    """Whether a request that came through these has been here, or has gone round long enough."""
    return (bool(own) and own in names) or len(names) > MAX_HOPS


def may_loop(header: bytes, own: str) -> bool:
    """False: `loops` would be False of the names in this header. Quick: a hit has no time to read them."""
    return header.count(b"orchard-") > MAX_HOPS or (bool(own) and own.encode() in header)


def told(own: str) -> str:
    """The Via of a response of ours: "1.1 orchard-… (Orchard/…)"."""
    return f"{PROTOCOL_VERSION} {own} (Orchard/{VERSION})"


def teller(header: str) -> Installation | None:
    """Who answered, by a response's Via: the last that names itself as `told` does, which is the nearest."""
    found = [match for each in header.split(",") if (match := _TELLER.fullmatch(each.strip()))]
    return Installation(found[-1][1], found[-1][2]) if found else None
