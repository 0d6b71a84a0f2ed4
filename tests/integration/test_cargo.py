"""Cargo's config.json is Orchard's own: one for clients that send a token, another for the rest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.cargo_builders import Registry
from tests.support.orchard import Cluster
from tests.support.upstream import Fault, Upstream

TOKEN = {"authorization": "x"}
OPERATOR = "an-operators-token"


@pytest.fixture(scope="module")
def orchard_settings(upstream: Upstream) -> dict[str, str]:
    Registry(upstream).add("demo", "1.0.0")
    return {"ORCHARD_ADMIN_TOKEN": OPERATOR, "ORCHARD_ANONYMOUS_READ": "true"}


@pytest.mark.parametrize("orders", [(TOKEN, {}), ({}, TOKEN)], ids=["with a token first", "without first"])
def test_config__whoever_asked_before_and_however_hot__each_gets_its_own(
    orchard: Cluster, orders: tuple[dict[str, str], ...]
) -> None:
    path = orchard.url(f"/cargo/config.json?of={len(orders[0])}")  # requests that nobody made before
    for headers in itertools.islice(itertools.cycle(orders), 8):
        answer = httpx.get(path, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        assert answer.json().get("auth-required", False) is bool(headers)
    assert answer.headers["x-cache"] == "HIT"


def paused(orchard: Cluster, upstream: Upstream) -> None:
    """No source is asked."""
    for source in operate(orchard, "GET", "/api/v1/admin/upstreams?protocol=cargo").json()["items"]:
        path = f"/api/v1/admin/upstreams/{source['id']}"
        assert operate(orchard, "PATCH", path, json={"enabled": False}).status_code == 200


def down(orchard: Cluster, upstream: Upstream) -> None:
    """The source answers nothing."""
    upstream.fault("/cargo/config.json", Fault(status=503))


def another(orchard: Cluster, upstream: Upstream) -> None:
    """A source of other names answers with a page for people."""
    upstream.put("/corp/config.json", b"<html>sign in</html>", "text/html")
    source = {"protocol": "cargo", "name": "corp", "url": f"{upstream.url}/corp/", "patterns": ["corp-*"]}
    added = operate(orchard, "POST", "/api/v1/admin/upstreams", json=source)
    assert added.status_code == 201, added.text


def operate(orchard: Cluster, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {OPERATOR}"}
    return httpx.request(method, orchard.url(path), headers=headers, timeout=30, trust_env=False, **options)


@pytest.mark.parametrize("fail", [down, another, paused])
def test_config__whatever_its_sources_do__is_there(
    orchard: Cluster, upstream: Upstream, fail: Callable[[Cluster, Upstream], None]
) -> None:
    asked = upstream.count("/cargo/config.json")
    fail(orchard, upstream)
    answer = orchard.get("/cargo/config.json?anew")
    assert (answer.status_code, answer.json()) == (200, {"dl": orchard.url("/cargo/dl")})
    assert upstream.count("/cargo/config.json") == asked, "no source has a part in it"
