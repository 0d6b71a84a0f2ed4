"""Who a request is from, as limits count: its token, else its address."""

from __future__ import annotations

from typing import Any

from services.gateway.access import Access
from services.gateway.addresses import address_of, network_of
from services.gateway.requests import Headers


def client_of(access: Access, scope: Any, headers: Headers) -> str:
    """The name of a good token, or the address that a trusted proxy or the connection tells.

    For what is no hit: a header that is not remembered is hashed.
    """
    authorization = headers.get(b"authorization")
    if authorization is not None:
        name = access.name_of(authorization)
        if name:
            return f"token {name}"
    return network_of(address_of(scope))
