"""What a minimum age refuses is in the ledger with that rule, whoever refused it: gateway or fetcher."""

from __future__ import annotations

import pytest

from tests.firewall.shelves import OLD, SHELVES, YOUNG, NewShelf
from tests.support.orchard import wait_until

ADMIN = {"authorization": "Bearer operators-token-of-tests"}


@pytest.mark.parametrize("kind", SHELVES)
@pytest.mark.parametrize("page_first", [False, True])
def test_young_file__refused__is_in_the_ledger(shelf: NewShelf, kind: str, page_first: bool) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    if page_first:
        assert it.get(it.page).status_code == 200
    assert it.get(it.file("2.0.0")).status_code == 403
    assert it.get(it.file("1.0.0")).status_code == 200
    of = {
        "pypi": "pkg:pypi/{}",
        "npm": "pkg:npm/{}",
        "maven": "pkg:maven/org.example/{}",
        "cargo": "pkg:cargo/{}",
    }

    def told() -> dict[str, tuple[str, str]]:
        query = f"/api/v1/admin/who-has?of={of[it.protocol].format(it.name)}"
        items = it.orchard.get(query, headers=ADMIN).json()["items"]
        return {each["version"]: (each["result"], each["code"]) for each in items}

    wait_until(lambda: len(told()) == 2, what="both servings")
    assert sorted(told().values()) == [("refused", "too_young"), ("served", "")]
