"""`Evidence`: who published a file, as far as its attestations prove it. Pure."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

OPENPGP = "OpenPGP"  # the kind of a publisher that a signature beside a file names
LONGEST = 500  # characters of what is told of a publisher, or of a fault


class Publisher(msgspec.Struct, frozen=True, array_like=True):
    """Whom a verified attestation names."""

    kind: str = ""  # "GitHub", "GitLab", …
    repository: str = ""  # "owner/name"; of a person the address
    workflow: str = ""  # the file that ran

    def __str__(self) -> str:
        return f"{self.repository} ({', '.join(each for each in (self.kind, self.workflow) if each)})"


class Evidence(msgspec.Struct, frozen=True, array_like=True):
    """What verifying the attestations of one digest came to."""

    status: Literal["verified", "failed", "unknown"]  # unknown: of a kind that nobody here can verify
    publisher: Publisher = Publisher()  # of what is verified
    why: str = ""  # of what is not
    root: str = ""  # what it was verified against: under another root it is verified again
    signature: Literal["", "verified", "failed"] = (
        ""  # the registry's own; "": it has none, or no key is known
    )


class FileSignature(msgspec.Struct, frozen=True, array_like=True):
    """What verifying the signature beside a file came to; of a file whose digest no list tells."""

    entry: str  # under which the list has it: the version
    filename: str
    sha256: str  # of the bytes that came
    status: Literal["verified", "failed", "missing"]  # missing: there is none, and need not be
    signer: str = ""  # fingerprint of the key, of what is verified
    why: str = ""  # of what is not
    mark: str = ""  # which keys were asked for (`mark_of`)

    def is_of(self, entry: str, filename: str, sha256: str) -> bool:
        """Whether it is of these bytes under this name."""
        return (self.entry, self.filename, self.sha256) == (entry, filename, sha256)


class Attested(msgspec.Struct, frozen=True):
    """What attestations must be about."""

    subject: str  # the statement's name of the file
    algorithm: str  # of the statement's digest
    accept: str = "application/json"  # media types to ask for


class Signed(NamedTuple):
    """One attestation, as it is read and not verified yet."""

    bundle: Any  # of sigstore.models
    publisher: Publisher | None = None  # whom its registry names; None: the certificate alone tells
    policy: Any = None  # of sigstore.verify.policy: what the certificate must say; None: nothing
