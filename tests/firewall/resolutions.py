"""What a resolution that is made now takes of a shelf's package."""

from __future__ import annotations

import httpx

from tests.firewall.shelves import Shelf
from tests.support.orchard import wait_until

REQUIREMENTS = {"pypi": "{}", "npm": "{}@*", "cargo": "{}"}
"""By protocol: any version of a name."""


def resolved(it: Shelf) -> list[str]:
    """The versions."""
    body = {"protocol": it.protocol, "requirements": [REQUIREMENTS[it.protocol].format(it.name)]}
    found: list[str] = []

    def is_made() -> bool:
        address = it.orchard.url("/api/v1/resolve")
        answer = httpx.post(address, json=body, timeout=30, trust_env=False)
        assert answer.status_code in (200, 202), answer.text
        if answer.status_code == 200:
            found[:] = [each["version"] for each in answer.json()["nodes"] if each["name"] == it.name]
        return answer.status_code == 200

    wait_until(is_made, seconds=60, what="the resolution")
    return found
