"""`Item`: what is to be verified of one file."""

from __future__ import annotations

import msgspec

from shared.policy.evidence import Attested


class Item(msgspec.Struct, frozen=True):
    """A file's attestations, as its registry gave them, and that registry's own signatures."""

    protocol: str
    attested: Attested
    digest: str  # hex, of the file
    document: bytes | None = None  # None: there is none
    signatures: tuple[tuple[str, str], ...] = ()  # as `Dated.signatures`
    signed: bytes = b""  # what these are over
    published: float = 0.0  # unix seconds, as the registry says
