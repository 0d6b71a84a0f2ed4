"""A source of one's own, for which no rule of age counts (`ages=off`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.firewall.shelves import OLD, SHELVES, YOUNG
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Upstream

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_MINIMUM_AGE": "7d",
        "ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/#ages=off",
        **{
            f"ORCHARD_{name}_UPSTREAM": f"{upstream.url}/{name.lower()}/#ages=off"
            for name in ("NPM", "MAVEN", "CARGO")
        },
    }
    settings["ORCHARD_MAVEN_UPSTREAM"] += f"&merge=all,{upstream.url}/others/#merge=all"
    with cluster(tmp_path_factory.mktemp("own"), upstream, **settings) as running:
        yield running


@pytest.mark.parametrize("kind", SHELVES)
def test_own_source__young_and_undated_versions_are_served(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    it = SHELVES[kind](orchard, upstream, f"own-{next(_numbers)}")
    ages = {"1.0.0": OLD, "2.0.0": YOUNG, "3.0.0": None}
    it.put(ages)
    assert it.get(it.file("2.0.0")).content == it.data["2.0.0"]
    assert it.shown() == list(ages)
    for version in ages:
        assert it.get(it.file(version)).status_code == 200


def test_own_source__merged_with_another__spares_nothing_of_that_one(
    orchard: Cluster, upstream: Upstream
) -> None:
    it = SHELVES["maven"](orchard, upstream, f"own-{next(_numbers)}")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    for path in (it.page, it.upstream_file("2.0.0")):
        upstream.put(path.replace("/maven/", "/others/"), upstream.reply(path))
    it.put({"1.0.0": OLD})
    upstream.remove(it.upstream_file("2.0.0"))
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 403
