"""Who states: this Orchard, by the name of its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.settings import Settings
from shared.tlog.dsse import STATEMENT, key_id
from shared.tlog.notes import Key
from shared.tlog.signing import Signer
from shared.version import VERSION


class Platform(msgspec.Struct, frozen=True):
    """`public_url`: the address that clients use, without a slash at its end; "" where none is set."""

    key: Key  # that signs
    public_url: str = ""
    signer_apart: bool = False  # the private key is in a process of its own

    @property
    def id(self) -> str:
        """A URI that is this Orchard's as long as its log has this name."""
        return f"urn:orchard:{self.key.name}"

    @property
    def signer(self) -> str:
        """A URI of the key."""
        return f"urn:orchard:{key_id(self.key)}"

    @property
    def version(self) -> str:
        """Of the service that states."""
        return VERSION


def platform_of(signer: Signer, settings: Settings) -> Platform:
    """This Orchard, as its settings have it."""
    return Platform(signer.key, next(iter(settings.public_url), ""), signer.is_apart)


def encoded(predicate_type: str, subject: Mapping[str, Any], predicate: Mapping[str, Any]) -> bytes:
    """The payload of an envelope: an in-toto Statement v1 of one subject. The same for the same facts."""
    whole = {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return msgspec.json.encode(whole, order="sorted")
