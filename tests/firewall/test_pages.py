"""What rules hold back on its page for people, and decided there."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from tests.firewall.shelves import OLD, YOUNG, NewShelf
from tests.support.orchard import Cluster, wait_until

pytestmark = pytest.mark.timeout(300)  # a whole Orchard starts first

OPERATOR = {"authorization": "Bearer operators-token-of-tests"}


@pytest.mark.parametrize("way, left", [("approve", ["1.0.0", "2.0.0"]), ("deny", ["1.0.0"])])
def test_held__shown_with_its_rule_and_let_in_or_kept_out(
    shelf: NewShelf, orchard: Cluster, way: str, left: list[str]
) -> None:
    it = shelf("pypi")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    assert it.shown() == ["1.0.0"]

    def page() -> str:
        return orchard.get("/ui/held", headers=OPERATOR).text

    wait_until(
        lambda: f'pkg:pypi/{it.name}@2.0.0"' in unescape(page()),
        seconds=60,
        what="the held version on its page",
    )
    assert "minimum age" in page()
    answer = httpx.post(
        orchard.url(f"/ui/held/{way}"),
        data={"of": f"pkg:pypi/{it.name}@2", "reason": "a test"},
        headers={**OPERATOR, "origin": orchard.url("")},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 303, answer.text
    assert re.search(r"\?done=\w+$", answer.headers["location"])
    wait_until(
        lambda: it.shown() == left and f'{it.name}@2.0.0"' not in unescape(page()),
        seconds=60,
        what="the decision",
    )
