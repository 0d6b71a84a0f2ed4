"""Who a request is from, as limits count: its token, else its address."""

from __future__ import annotations

from typing import Any

from services.gateway.access import Access
from services.gateway.requests import Headers

_NETWORK_GROUPS = 4  # of an IPv6 address: one customer has a /64


def client_of(access: Access, scope: Any, headers: Headers) -> str:
    """The name of a good token, or the address that a trusted proxy or the connection tells.

    For what is no hit: a header that is not remembered is hashed.
    """
    authorization = headers.get(b"authorization")
    if authorization is not None:
        name = access.name_of(authorization)
        if name:
            return f"token {name}"
    client = scope.get("client")
    return network_of(client[0]) if client else ""


def network_of(address: str) -> str:
    """An IPv4 address as it is; the /64 of an IPv6 address, however it is written."""
    if ":" not in address or address.startswith("::ffff:"):
        return address.removeprefix("::ffff:")
    head, _, tail = address.partition("::")
    groups = head.split(":") if head else []
    if "::" in address:
        ends = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(ends)) + ends
    return ":".join(groups[:_NETWORK_GROUPS]) + "::/64"
