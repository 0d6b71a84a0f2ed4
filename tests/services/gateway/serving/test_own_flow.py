"""What Orchard itself answers: as any page, for the address that was asked, of nothing but the request."""

from __future__ import annotations

import json

import pytest

from services.gateway.serving.own_flow import own_reply
from shared.http.conditions import Conditions
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource

OWN = {"cargo": ["/config.json"]}
EVERY = [
    pytest.param(protocol, path, headers, id=f"{protocol.name} {path} {sorted(headers)}")
    for protocol in PROTOCOLS
    for path in OWN.get(protocol.name, [])
    for headers in ({}, {b"authorization": b"*"})
]


def resource_of(protocol: PackageProxyBase, path: str, headers: dict[bytes, bytes]) -> Resource:
    found = protocol.grammar.classify("GET", path.encode(), b"", headers)
    assert isinstance(found, Resource) and found.kind == "own"
    return found


@pytest.mark.parametrize(("protocol", "path", "headers"), EVERY)
def test_own__each_address_gets_its_own__and_a_304_for_what_it_has(
    protocol: PackageProxyBase, path: str, headers: dict[bytes, bytes]
) -> None:
    resource = resource_of(protocol, path, headers)
    tags = set()
    for base, shown in (
        ("http://a.example.com/x", ""),
        ("http://orchard.invalid/x", "http://b.example.com/x"),
    ):
        conditions = Conditions(base_url=base, shown_url=shown, codings=("identity",))
        reply = own_reply(protocol.grammar, resource, conditions)
        told = dict(reply.headers)
        assert reply.status == 200 and isinstance(reply.body, bytes)
        assert (shown or base) in json.dumps(json.loads(reply.body))
        assert told[b"vary"] == resource.vary.encode() and told[b"cache-control"] == b"max-age=300"
        known = Conditions(base_url=base, shown_url=shown, if_none_match=told[b"etag"], codings=("identity",))
        assert own_reply(protocol.grammar, resource, known).status == 304
        tags.add(told[b"etag"])
    assert len(tags) == 2


@pytest.mark.parametrize(("protocol", "path", "headers"), EVERY)
def test_own__head__no_body(protocol: PackageProxyBase, path: str, headers: dict[bytes, bytes]) -> None:
    conditions = Conditions(head=True, base_url="http://a.example.com/x", codings=("identity",))
    reply = own_reply(protocol.grammar, resource_of(protocol, path, headers), conditions)
    assert (reply.status, reply.body) == (200, None)
    assert int(dict(reply.headers)[b"content-length"]) > 0
