"""`own_reply`: what Orchard itself answers at an address, whatever its sources and stores do."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from services.gateway.serving.index_reply import index_reply
from services.gateway.serving.ports import Reply
from shared.cache.keys import variant_name
from shared.http.conditions import Conditions
from shared.models import FORMAT, IndexHead, VariantInfo
from shared.protocols.resource import Resource
from shared.protocols.roles.grammar import Grammar

LIFE_SECONDS = 300.0


class _Entry(msgspec.Struct, frozen=True):
    """Fulfils `IndexEntry`."""

    head: IndexHead
    body: bytes
    variant: str
    revision: int = 0
    verified: bool = True


def own_reply(grammar: Grammar, resource: Resource, conditions: Conditions) -> Reply:
    """A page as any other, but made anew for each request: for its Host, without any waiting."""
    content_type, body = grammar.own_answer(resource, conditions.shown_url or conditions.base_url)
    variant = variant_name(resource.representation, "identity")
    info = VariantInfo(f'"{sha256(body).hexdigest()[:32]}"', len(body), content_type)
    head = IndexHead(
        format=FORMAT,
        status=200,
        generation=0,
        source_revision=0,
        source_id=0,
        fetched_at=0.0,
        fresh_until=LIFE_SECONDS,
        variants={variant: info},
    )
    asked = msgspec.structs.replace(conditions, shown_url="")
    found = index_reply(resource, asked, _Entry(head, body, variant), "HIT", 0.0)
    assert found is not None
    return found[0]
