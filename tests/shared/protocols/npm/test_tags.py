"""Which version `latest` names when its own is not shown: the newest not above it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.protocols.npm.tags import shown_tags

NONE = frozenset[str]().__contains__


@pytest.mark.parametrize(
    ("versions", "latest", "hidden", "left"),
    [
        (["1.0.0", "1.1.0", "2.0.0"], "1.1.0", {"1.1.0"}, "1.0.0"),
        (["1.0.0", "1.1.0", "2.0.0"], "1.1.0", set(), "1.1.0"),
        (["1.0.0", "1.1.0", "2.0.0"], "1.0.0", {"1.0.0"}, None),
        (["1.0.0", "2.0.0-rc.1", "2.0.0"], "2.0.0", {"2.0.0"}, "1.0.0"),
        (["1.0.0-rc.1", "1.0.0-rc.2", "1.0.0"], "1.0.0", {"1.0.0"}, "1.0.0-rc.2"),
        (["0.9.0", "1.0.0-beta.1", "1.0.0-beta.2"], "1.0.0-beta.2", {"1.0.0-beta.2"}, "1.0.0-beta.1"),
        (["1.0.0", "1.2.0"], "newest", {"newest"}, "1.2.0"),
        (["1.0.0"], "3.0.0", set(), "3.0.0"),
        (["1.9.0", "1.10.0", "1.11.0"], "1.11.0", {"1.11.0"}, "1.10.0"),
        (["1.9.0", "1.10.0-rc.1", "2.0.0-rc.1"], "2.0.0-rc.1", {"2.0.0-rc.1"}, "1.9.0"),
        (["1.9.0", "2.0.0-rc.1", "2.0.0-rc.2"], "2.0.0-rc.2", {"2.0.0-rc.2"}, "2.0.0-rc.1"),
        (["1.0.0-rc.1", "2.0.0-rc.1"], "2.0.0-rc.1", {"2.0.0-rc.1"}, "1.0.0-rc.1"),
    ],
)
def test_latest__hidden__the_newest_not_above_it(
    versions: list[str], latest: str, hidden: set[str], left: str | None
) -> None:
    shown = [version for version in versions if version not in hidden]
    assert shown_tags({"latest": latest}, hidden, shown, NONE).get("latest") == left


@pytest.mark.parametrize(
    ("deprecated", "left"),
    [({"1.2.0"}, "1.1.0"), ({"1.1.0", "1.2.0"}, "1.0.0"), ({"1.0.0", "1.1.0", "1.2.0"}, "1.2.0")],
)
def test_latest__hidden__none_that_is_deprecated_where_another_is_there(
    deprecated: set[str], left: str
) -> None:
    shown = ["1.0.0", "1.1.0", "1.2.0", "2.0.0"]
    assert shown_tags({"latest": "1.3.0"}, {"1.3.0"}, shown, deprecated.__contains__) == {"latest": left}


def test_other_tags__of_hidden_versions__go() -> None:
    told = {"latest": "1.0.0", "next": "2.0.0", "lts": "1.0.0", "odd": 5}
    assert shown_tags(told, {"2.0.0"}, ["1.0.0"], NONE) == {"latest": "1.0.0", "lts": "1.0.0"}


@pytest.mark.parametrize("told", [None, [], "1.0.0", 5, {"latest": None}])
def test_tags__of_another_type__are_none(told: Any) -> None:
    assert shown_tags(told, set(), ["1.0.0"], NONE) == {}
