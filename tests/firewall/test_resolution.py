"""What is resolved and locked here: a young version is chosen by nobody."""

from __future__ import annotations

import pytest

from tests.firewall.resolutions import REQUIREMENTS, resolved
from tests.firewall.shelves import OLD, YOUNG, NewShelf


@pytest.mark.parametrize("kind", REQUIREMENTS)
def test_resolve__chooses_the_newest_that_is_old_enough(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    assert resolved(it) == ["1.0.0"]
