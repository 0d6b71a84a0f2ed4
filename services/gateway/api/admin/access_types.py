"""Tokens, blocks and the audit, as the API under /api/v1/admin tells them.

Fields are only ever added. Times are unix seconds. No answer holds a secret, but for the one that makes a
token.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from services.gateway.api.types import Input


class NewBlock(Input, frozen=True):
    """What to block: a name, one version of it, or bytes by SHA256; and why, for all who ask for it."""

    reason: str
    protocol: str = ""
    name: str = ""
    version: str = ""  # "" = every version
    sha256: str = ""


class WantedBlock(NewBlock, frozen=True):
    """The same; or in `of` a package URL, with a version or for all, or a SHA256, in place of the rest."""

    of: str = ""


class BlockEntry(msgspec.Struct, frozen=True):
    """A block that is in force."""

    id: int  # 0: an upstream's, which names itself in the reason
    protocol: str
    name: str
    version: str
    sha256: str
    reason: str
    created_at: float  # 0: unknown
    created_by: str


class NewExemption(Input, frozen=True):
    """What no rule is to hold back: a package URL, with a version or for all, or bytes by SHA256."""

    reason: str
    of: str
    expires: str = ""  # a date, or a time from now on: 36h, 7d; "": never
    yes: bool = False  # also of malware, of now or later


class ExemptionEntry(msgspec.Struct, frozen=True):
    """An exemption; one that is over is still listed."""

    id: int
    what: str  # a package URL, or a SHA256
    reason: str
    expires_at: float | None
    created_at: float
    created_by: str
    covers_malware: bool = False  # it counts of malware too


class MadeExemption(ExemptionEntry, frozen=True):
    """A new exemption, and what is true of what it is of."""

    refused: str = ""  # by which blocks by hand it is refused still, and what takes each away; "": by none
    malware: str = ""  # by which advisory it is malware; "": by none
    was_held: bool | None = None  # of an approval: whether a rule held it back; null: not asked, or not known


class NewToken(Input, frozen=True):
    """A token to make."""

    name: str
    scope: Literal["read", "admin"] = "read"
    owner: str = ""  # who answers for it
    expires: str = ""  # a date, or a time from now on: 36h, 7d; "": never
    networks: tuple[str, ...] = ()  # addresses and CIDR networks that it is good from; none: from all
    protocols: tuple[str, ...] = ()  # that it may read; none: all. With these or `names`: packages alone
    names: tuple[str, ...] = ()  # patterns of packages' names that it may read, such as corp-*; none: all


class Rotation(Input, frozen=True):
    """What is new of a token."""

    expires: str = ""  # a date, or a time from now on: 36h, 7d; "": as before


class MadeToken(msgspec.Struct, frozen=True):
    """A new token: the only answer that ever shows it."""

    id: int
    name: str
    scope: str
    token: str
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"MadeToken(id={self.id})"


class TokenEntry(msgspec.Struct, frozen=True):
    """A token that is known here, without the token."""

    id: int
    name: str
    scope: str
    created_at: float
    created_by: str
    last_used_at: float | None  # to some minutes; null: never
    owner: str
    expires_at: float | None  # null: never
    networks: tuple[str, ...]
    protocols: tuple[str, ...]
    names: tuple[str, ...]


class AuditEntry(msgspec.Struct, frozen=True):
    """One change by the admin API."""

    id: int
    at: float
    actor: str  # the token's name
    action: str  # such as "upstream.change"
    subject: str
    before: Any  # without secrets; null where there was nothing
    after: Any
    request_id: str
