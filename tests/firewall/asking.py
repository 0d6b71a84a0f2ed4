"""What tests of the firewall ask of all gateways, and of the admin API."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.orchard import Cluster

ADMIN = {"authorization": "Bearer operators-token-of-tests"}

_client = httpx.Client(timeout=60, trust_env=False, headers={"accept-encoding": "identity"})


def ask(orchard: Cluster, path: str, method: str = "GET", **headers: str) -> list[httpx.Response]:
    """The answers of all gateways."""
    return [_client.request(method, each.base + path, headers=headers) for each in orchard.all_of("gateway")]


def answers(orchard: Cluster, path: str, **headers: str) -> set[int]:
    """The statuses of these."""
    return {each.status_code for each in ask(orchard, path, **headers)}


def tell(orchard: Cluster, path: str, **value: Any) -> httpx.Response:
    """The answer of the admin API to what an operator posts."""
    url = orchard.url(f"/api/v1/admin/{path}")
    return httpx.post(url, json=value, headers=ADMIN, timeout=30, trust_env=False)


def post(orchard: Cluster, path: str, **value: Any) -> Any:
    """What was made."""
    made = tell(orchard, path, **value)
    assert made.status_code < 300, made.text
    return made.json()
