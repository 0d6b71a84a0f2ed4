"""No byte of a young version goes out by any way, and pages name the newest that is old enough: over all
protocols, on a registry with dates."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from tests.firewall.shelves import DAY, OLD, SHELVES, YOUNG, NewShelf, Npm, PyPI, moment
from tests.gates.ways import COLD_WAYS, Haul
from tests.support.cargo_builders import Registry
from tests.support.npm_builders import version_path
from tests.support.orchard import problem, wait_until

kinds = pytest.mark.parametrize("kind", SHELVES)


@kinds
def test_young_latest__hidden__the_newest_that_is_old_enough_is_called_the_latest(
    shelf: NewShelf, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "1.1.0": OLD, "2.0.0": YOUNG})
    answer = it.get(it.page)
    assert it.listed(answer.text) == ["1.0.0", "1.1.0"]
    assert it.newest(answer.text) in ("", "1.1.0")
    assert it.get(it.file("1.1.0")).content == it.data["1.1.0"]


@kinds
def test_young_only_version__the_page_is_there_and_empty(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": YOUNG})
    assert it.shown() == []


@kinds
@pytest.mark.parametrize("way", COLD_WAYS)
def test_young_file_by_its_address__no_way_gives_a_byte(shelf: NewShelf, kind: str, way: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    haul = Haul(it.orchard.gateway.port, it.file("2.0.0"), len(it.data["2.0.0"]))
    COLD_WAYS[way](haul)
    assert {answer.status for answer in haul.answers} == {403}
    assert not any(haul.known)


@kinds
def test_young_version__its_head_and_what_tells_of_it_alone__refused_with_the_reason(
    shelf: NewShelf, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    assert it.orchard.get(it.page).status_code == 200
    head = Haul(it.orchard.gateway.port, it.file("2.0.0"), 1).ask(method="HEAD")
    assert (head.status, head.body) == (403, b"")
    assert Haul(it.orchard.gateway.port, it.file("1.0.0"), 1).ask(method="HEAD").status == 200
    for path in (it.file("2.0.0"), *it.beside("2.0.0")):
        answer = it.get(path)
        assert answer.status_code == 403, path
        told = problem(answer)
        if it.protocol != "cargo":  # which has a form of its own, with words alone
            assert told["code"] == "too_young"
        assert it.name in told["detail"] and "served from" in told["detail"], path
    for path in it.beside("1.0.0"):
        assert it.get(path).status_code == 200, path


@kinds
def test_young_file__asked_for_again_and_again__the_registry_is_not(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    for path in (it.file("2.0.0"), *it.beside("2.0.0")) * 3:
        assert it.get(path).status_code == 403
    assert it.asked("2.0.0") <= (1 if it.protocol == "maven" else 0)


@kinds
def test_backdated_version__no_older_than_the_page_that_lacked_it(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD})
    assert it.shown() == ["1.0.0"]
    it.put({"1.0.0": OLD, "2.0.0": 2 * OLD})
    wait_until(lambda: it.upstream.count() and _renewed(it), what="the new page")
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 403


def _renewed(it: object) -> bool:
    """Whether Orchard has fetched the page again (it is fresh for a second)."""
    time.sleep(1.3)
    it.get(it.page)  # type: ignore[attr-defined]
    time.sleep(0.7)
    return bool(it.get(it.page).status_code == 200)  # type: ignore[attr-defined]


@kinds
def test_date_in_the_future__counts_from_when_it_was_first_seen(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": -30 * DAY})
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 403


@kinds
@pytest.mark.parametrize("year", [1, 1970, 1980])
def test_date_from_before_there_were_registries__counts_from_when_it_was_first_seen(
    shelf: NewShelf, kind: str, year: int
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": time.time() - datetime(year, 1, 2, tzinfo=UTC).timestamp()})
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 403


@kinds
def test_missing_date__counts_from_when_it_was_first_seen(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": None})
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 403


def test_young_version_document__asked_for_again_and_again__the_registry_is_not(shelf: NewShelf) -> None:
    it = shelf("npm")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    for _ in range(4):
        assert it.get(f"/npm/{it.name}/2.0.0").status_code == 403
    assert it.upstream.count(version_path(it.name, "2.0.0")) == 0


@pytest.mark.parametrize("kind", ["pypi", "cargo"])
def test_other_bytes_under_a_known_name__are_a_new_version(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    assert it.shown() == ["1.0.0", "2.0.0"]
    it.data["2.0.0"] = other_bytes(it.data["2.0.0"])
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    assert _renewed(it)
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 403


def other_bytes(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@kinds
def test_version_is_withdrawn_and_comes_back__is_as_old_as_it_was(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    for ages in ({"1.0.0": OLD, "2.0.0": OLD}, {"1.0.0": OLD}, {"1.0.0": OLD, "2.0.0": OLD}):
        it.put(ages)
        assert _renewed(it)
        assert it.shown() == list(ages)


def test_cargo__young_and_yanked__is_hidden_as_any(shelf: NewShelf) -> None:
    it = shelf("cargo")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    Registry(it.upstream).yank(it.name, "2.0.0")
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 403


def test_maven__jar_younger_than_its_pom__is_young_whatever_was_asked_before(shelf: NewShelf) -> None:
    it = shelf("maven")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    pom = it.file("2.0.0").replace(".jar", ".pom")
    old = formatdate(time.time() - OLD, usegmt=True)
    it.upstream.put(pom, replace(it.upstream.reply(pom), last_modified=old))
    assert it.get(f"/v/at-{moment(YOUNG / 2)}{it.page}").status_code == 200  # asks the POMs for their dates
    assert it.get(it.file("2.0.0")).status_code == 403


def test_npm__tags_to_young_versions_go_and_the_abbreviated_form_too(shelf: NewShelf) -> None:
    it = shelf("npm")
    assert isinstance(it, Npm)
    it.tags = {"next": "3.0.0-rc.1", "stable": "1.0.0"}
    it.put({"1.0.0": OLD, "2.0.0": YOUNG, "3.0.0-rc.1": YOUNG})
    for accept in ("application/json", "application/vnd.npm.install-v1+json"):
        page = it.get(it.page, accept=accept).json()
        assert list(page["versions"]) == ["1.0.0"]
        assert page["dist-tags"] == {"latest": "1.0.0", "stable": "1.0.0"}
        assert "2.0.0" not in page.get("time", {})
    latest = it.get(f"/npm/{it.name}/latest").json()
    assert (latest["version"], latest["dist"]["tarball"].endswith(it.file("1.0.0"))) == ("1.0.0", True)
    assert it.get(f"/npm/{it.name}/next").status_code in (403, 404)


def test_pypi__html_and_the_legacy_document_are_without_it(shelf: NewShelf) -> None:
    it = shelf("pypi")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    html = it.get(it.page, accept="text/html").text
    assert "1.0.0" in html and "2.0.0" not in html
    legacy = it.get(f"/pypi/pypi/{it.name}/json").json()
    assert list(legacy["releases"]) == ["1.0.0"]
    assert (legacy["info"]["version"], legacy["info"]["requires_dist"]) == ("1.0.0", None)
    assert [each["filename"] for each in legacy["urls"]] == [it.filename("1.0.0")]  # type: ignore[attr-defined]


def test_pypi__new_wheel_of_an_old_version__hidden_alone(shelf: NewShelf) -> None:
    it = shelf("pypi")
    assert isinstance(it, PyPI)
    it.put({"1.0.0": OLD, "1.0.0.post1": YOUNG})
    assert it.shown() == ["1.0.0"]
