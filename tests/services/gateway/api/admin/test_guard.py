"""Who is let in by the admin API: on every route of it, whoever adds one."""

from __future__ import annotations

import json
import re

from tests.support.gateway import GatewayProcess

METHODS = ("get", "post", "put", "patch", "delete")


def test_every_operators_route__without_a_token__401_before_anything_else(gateway: GatewayProcess) -> None:
    schema = json.loads(gateway.request("/api/v1/openapi/openapi.json").body)
    routes = [
        (path, method, operation.get("tags"))
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
    ]
    guarded = [(path, method) for path, method, tags in routes if tags == ["admin"]]
    assert len(guarded) > 20
    assert {
        path for path, _, tags in routes if path.startswith("/api/v1/admin/") and tags != ["admin"]
    } == set()
    for path, method in guarded:
        filled = re.sub(r"\{[^}]*\}", "1", path)
        reply = gateway.request(filled, method.upper())
        assert (reply.status, json.loads(reply.body)["code"]) == (401, "unauthorized"), (method, path)
