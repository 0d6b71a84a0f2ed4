"""What is to be verified of one file: an `Item` by what its registry says, a `SignedFile` by the signature
beside it."""

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


class SignedFile(msgspec.Struct, frozen=True):
    """A file and its detached signatures. `path` of the file, or "" and its `content`. `fingerprints`: in
    lower-case hex, of whose keys, or their subkeys, one must have signed; `keys`: files that may hold these.
    `seconds` of processor time that it may take."""

    signature: bytes
    fingerprints: tuple[str, ...]
    keys: tuple[str, ...]
    seconds: int
    content: bytes = b""
    path: str = ""
