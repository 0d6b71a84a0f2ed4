"""Lists of Sigstore's bundles with their predicates' types, as registries give a version's provenance."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from shared.policy.evidence import Signed

SLSA = "https://slsa.dev/provenance/"


class _Entry(msgspec.Struct, frozen=True):
    predicate: str = msgspec.field(name="predicateType")
    bundle: msgspec.Raw


class _List(msgspec.Struct, frozen=True):
    attestations: list[_Entry]


def attestations(document: bytes) -> Iterator[Signed]:
    """See `Documents.attestations`. Those of the registry's own key prove no workflow: not among them."""
    from sigstore.models import Bundle

    for each in msgspec.json.decode(document, type=_List).attestations:
        if each.predicate.startswith(SLSA):
            yield Signed(Bundle.from_json(bytes(each.bundle)))
