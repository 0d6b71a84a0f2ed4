"""`/v/at-{moment}/`: every index and file as it was then, over all protocols, on a registry with dates."""

from __future__ import annotations

import json
import time
from functools import cache

import httpx
import pytest

from tests.firewall.shelves import DAY, SHELVES, Shelf, moment
from tests.gates.ways import COLD_WAYS, Haul
from tests.support.orchard import problem, wait_until
from tests.views.conftest import ADMIN, NewShelf

kinds = pytest.mark.parametrize("kind", SHELVES)
AGES = {"1.0.0": 300 * DAY, "1.1.0": 200 * DAY, "2.0.0": 100 * DAY, "2.1.0": DAY}
VERSIONS = list(AGES)


@cache
def at(days: float) -> str:
    """The view of so many days ago: one and the same, however long the tests take."""
    return f"/v/at-{moment(days * DAY)}"


def _filled(shelf: NewShelf, kind: str) -> Shelf:
    it = shelf(kind)
    it.put(AGES)
    return it


@kinds
@pytest.mark.parametrize("plain_first", [True, False], ids=["page known", "page unknown"])
def test_page__lists_what_was_there_and_calls_the_newest_of_it_so(
    shelf: NewShelf, kind: str, plain_first: bool
) -> None:
    it = _filled(shelf, kind)
    if plain_first:
        assert it.shown() == VERSIONS
    for days, count in ((250, 1), (150, 2), (50, 3), (0.1, 4), (400, 0)):
        for _ in range(3):  # rendered, cached, hot
            answer = it.get(at(days) + it.page)
            assert (answer.status_code, it.listed(answer.text)) == (200, VERSIONS[:count]), days
            assert it.newest(answer.text) in ("", *VERSIONS[:count][-1:])
        assert answer.headers["x-cache"] == "HIT"
        unchanged = it.get(at(days) + it.page, **{"if-none-match": answer.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert it.shown() == VERSIONS  # a view changes nothing outside


@kinds
def test_file_of_then__whole_and_hot__the_same_bytes(shelf: NewShelf, kind: str) -> None:
    it = _filled(shelf, kind)
    for version in VERSIONS[:3]:
        for _ in range(3):
            assert it.get(at(50) + it.file(version)).content == it.data[version]
        for path in it.beside(version):
            answer = it.get(at(50) + path)
            assert answer.status_code == 200, path
        assert it.get(it.file(version)).headers["x-cache"] == "HIT"
        assert it.asked(version) <= 2  # Maven's is asked for its date as well


@kinds
@pytest.mark.parametrize("stored", [False, True], ids=["cold", "stored"])
def test_younger_file__no_way_gives_a_byte(shelf: NewShelf, kind: str, stored: bool) -> None:
    it = _filled(shelf, kind)
    if stored:
        for path in (it.file("2.1.0"), *it.beside("2.1.0")) * 2:
            assert it.get(path).status_code == 200
    for way, go in COLD_WAYS.items():
        haul = Haul(it.orchard.gateway.port, at(50) + it.file("2.1.0"), len(it.data["2.1.0"]))
        go(haul)
        assert {answer.status for answer in haul.answers} == {404}, way
        assert not any(haul.known)
    for path in (it.file("2.1.0"), *it.beside("2.1.0")):
        answer = it.get(at(50) + path)
        assert answer.status_code == 404, path
        assert answer.headers["x-orchard-error"] == "not_in_view"
        assert "not in this view" in problem(answer)["detail"], path
    assert it.get(it.file("2.1.0")).content == it.data["2.1.0"]


@pytest.mark.parametrize("kind", [kind for kind in SHELVES if kind != "maven"])
@pytest.mark.parametrize("asked_then", [False, True], ids=["withdrawn, then asked", "asked, then withdrawn"])
def test_withdrawn_since_and_stored__is_given_in_views_of_then_and_again_where_it_is_listed_anew(
    shelf: NewShelf, kind: str, asked_then: bool
) -> None:
    it = _filled(shelf, kind)
    it.shown()
    file, data = it.file("1.0.0"), it.data["1.0.0"]
    assert it.get(file).content == data
    if asked_then:
        assert it.get(at(250) + file).content == data
    for ages in ({version: age for version, age in AGES.items() if version != "1.0.0"}, AGES):
        it.put(ages)
        httpx.post(
            it.orchard.url("/api/v1/admin/cache/invalidate"),
            json={"protocol": it.protocol, "project": it.name},
            headers=ADMIN,
            trust_env=False,
        )
        expected = sorted(AGES if kind == "cargo" else ages)  # its list keeps what is stored
        wait_until(lambda shown=expected: sorted(it.shown()) == shown, seconds=30, what="the list")  # type: ignore[misc]
        for _ in range(2):
            assert it.get(at(250) + file).content == data
            refused = it.get(at(400) + file)
            assert (refused.status_code, refused.headers["x-orchard-error"]) == (404, "not_in_view")


@kinds
def test_links__lead_into_the_view(shelf: NewShelf, kind: str) -> None:
    it = _filled(shelf, kind)
    view = at(150)
    if it.protocol == "cargo":
        answer = it.get(f"{view}/cargo/config.json")
        assert answer.json()["dl"].startswith(f"{it.orchard.url('/v/')}")
        inside = httpx.URL(answer.json()["dl"] + f"/{it.name}/1.0.0/download")
    elif it.protocol == "npm":
        answer = it.get(view + it.page)
        inside = httpx.URL(answer.json()["versions"]["1.0.0"]["dist"]["tarball"])
    elif it.protocol == "pypi":
        answer = it.get(view + it.page)
        inside = httpx.URL(it.orchard.url(view + it.page)).join(answer.json()["files"][0]["url"])
    else:
        pytest.skip("Maven's pages have no links")
    assert inside.path.startswith("/v/at-")
    assert it.get(inside.path).content == it.data["1.0.0"]
    assert it.get(inside.path.replace("1.0.0", "2.1.0")).status_code == 404


def test_npm__both_forms_and_every_tag(shelf: NewShelf) -> None:
    it = shelf("npm")
    it.tags = {"latest": "2.1.0", "next": "2.0.0", "old": "1.0.0"}  # type: ignore[attr-defined]
    it.put(AGES)
    for accept in ("application/json", "application/vnd.npm.install-v1+json"):
        page = it.get(at(150) + it.page, accept=accept).json()
        assert list(page["versions"]) == VERSIONS[:2]
        assert page["dist-tags"] == {"latest": "1.1.0", "old": "1.0.0"}
        assert set(page.get("time", {})) <= {"created", "modified", *VERSIONS[:2]}
    assert it.get(f"{at(150)}{it.page}/latest").json()["version"] == "1.1.0"
    assert it.get(f"{at(150)}{it.page}/2.0.0").status_code == 404


def test_pypi__legacy_document_tells_the_newest_of_then(shelf: NewShelf) -> None:
    it = _filled(shelf, "pypi")
    told = it.get(f"{at(150)}/pypi/pypi/{it.name}/json").json()
    assert (told["info"]["version"], list(told["releases"])) == ("1.1.0", VERSIONS[:2])
    assert all(told["releases"].values())


def test_maven__older_versions_out_of_order__each_by_its_own_date(shelf: NewShelf) -> None:
    it = shelf("maven")
    it.put({"1.0": 300 * DAY, "2.0": 200 * DAY, "1.0.1": 100 * DAY})  # a fix of the old line comes last
    assert it.listed(it.get(at(150) + it.page).text) == ["1.0", "2.0"]
    assert it.listed(it.get(at(50) + it.page).text) == ["1.0", "2.0", "1.0.1"]
    pom = it.file("1.0").replace(".jar", ".pom")
    assert it.upstream.count(pom, "HEAD") == 1  # asked once, for all views


@kinds
def test_plain_page_changes__the_view_follows(shelf: NewShelf, kind: str) -> None:
    it = _filled(shelf, kind)
    for _ in range(2):
        assert it.listed(it.get(at(50) + it.page).text) == VERSIONS[:3]
    it.put({version: AGES[version] for version in ("1.0.0", "2.0.0", "2.1.0")})
    project = f"org.example:{it.name}" if it.protocol == "maven" else it.name
    address = it.orchard.url("/api/v1/admin/cache/invalidate")
    done = httpx.post(
        address, json={"protocol": it.protocol, "project": project}, headers=ADMIN, trust_env=False
    )
    assert done.status_code in (200, 201), done.text
    wait_until(
        lambda: it.listed(it.get(at(50) + it.page).text) == ["1.0.0", "2.0.0"], what="the change in the view"
    )


@kinds
def test_block__holds_in_a_view_too(shelf: NewShelf, kind: str) -> None:
    it = _filled(shelf, kind)
    view = at(50)
    for _ in range(3):
        assert it.get(view + it.file("1.1.0")).status_code == 200
        assert it.listed(it.get(view + it.page).text) == VERSIONS[:3]
    name = f"org.example:{it.name}" if it.protocol == "maven" else it.name
    block = {"protocol": it.protocol, "name": name, "version": "1.1.0", "reason": "it steals"}
    address = it.orchard.url("/api/v1/admin/blocks")
    assert httpx.post(address, json=block, headers=ADMIN, trust_env=False).status_code == 201
    assert it.get(view + it.file("1.1.0")).status_code == 403
    assert it.listed(it.get(view + it.page).text) == ["1.0.0", "2.0.0"]


@kinds
def test_project_that_no_upstream_has__404_as_outside(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    for path in (it.page, at(50) + it.page):
        assert it.get(path).status_code == 404


def test_spellings_of_one_moment__one_view(shelf: NewShelf) -> None:
    it = _filled(shelf, "npm")
    seconds = int(time.time() - 150 * DAY) // 86_400 * 86_400
    day = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    pages = {
        it.get(f"/v/at-{name}{it.page}").text
        for name in (day, f"{day}T00:00Z", f"{day}T00:00:00Z", f"{day}T00%3A00%3A00.7Z", f"{seconds}")
    }
    assert len(pages) == 1
    tarball = json.loads(pages.pop())["versions"]["1.0.0"]["dist"]["tarball"]
    assert f"/v/at-{seconds}/" in tarball


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("at-", 400),
        ("at-yesterday", 400),
        ("at-2026-13-01", 400),
        ("at-2026-01-01T25:00:00Z", 400),
        ("at-20260101T", 400),
        ("at-0", 400),
        ("at-999999999999999999", 400),
        ("at-2026-01-01%2f", 400),
        ("nothing", 404),
        ("", 404),
        ("x" * 500, 404),
    ],
)
@kinds
def test_what_is_no_view__says_so(shelf: NewShelf, kind: str, name: str, status: int) -> None:
    it = shelf(kind)
    answer = it.get(f"/v/{name}{it.page}")
    assert answer.status_code == status
    assert it.get(f"/v/{name}").status_code in (400, 404)
