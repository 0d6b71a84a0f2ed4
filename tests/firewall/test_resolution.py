"""What is resolved and locked here: a young version is chosen by nobody."""

from __future__ import annotations

import httpx
import pytest

from tests.firewall.shelves import OLD, YOUNG, NewShelf
from tests.support.orchard import wait_until

REQUIREMENTS = {"pypi": "{}", "npm": "{}@*", "cargo": "{}"}


@pytest.mark.parametrize("kind", REQUIREMENTS)
def test_resolve__chooses_the_newest_that_is_old_enough(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    body = {"protocol": kind, "requirements": [REQUIREMENTS[kind].format(it.name)]}
    found: list[str] = []

    def resolved() -> bool:
        address = it.orchard.url("/api/v1/resolve")
        answer = httpx.post(address, json=body, timeout=30, trust_env=False)
        assert answer.status_code in (200, 202), answer.text
        if answer.status_code == 200:
            found[:] = [each["version"] for each in answer.json()["nodes"] if each["name"] == it.name]
        return answer.status_code == 200

    wait_until(resolved, seconds=30, what="the resolution")
    assert found == ["1.0.0"]
