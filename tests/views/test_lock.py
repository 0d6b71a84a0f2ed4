"""`/v/lock-{key}/`: exactly the files of a kept lock, pages that list exactly them; over all protocols."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from shared.postgres.connection import session
from tests.firewall.shelves import DAY, SHELVES, Shelf
from tests.support.orchard import JSON, Cluster, wait_until
from tests.views.conftest import ADMIN, NewShelf

kinds = pytest.mark.parametrize("kind", SHELVES)
SWAP = """
UPDATE cached_urls SET sha256 = o.sha256 FROM cached_urls o
WHERE o.project = $1 AND o.filename LIKE '%2.0.0%' AND cached_urls.project = $1
"""
AGES = {"1.0.0": 300 * DAY, "2.0.0": 100 * DAY}


def ensured(orchard: Cluster, text: str, query: str = "") -> dict[str, Any]:
    """The complete lock of an ensure file."""
    address = orchard.url(f"/api/v1/ensure{query}")
    answer = httpx.post(address, content=text, headers=ADMIN, timeout=60, trust_env=False)
    if answer.status_code == 202:
        location = answer.json()["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=60, what="the ensure")
        answer = orchard.get(location)
    assert answer.status_code == 200, answer.text
    lock: dict[str, Any] = answer.json()
    assert lock["complete"] is True, lock["missing"]
    return lock


def table(it: Shelf, version: str) -> str:
    """An ensure file that wants one version of a shelf."""
    wanted = {
        "pypi": f'requirements = ["{it.name}=={version}"]',
        "npm": f'dependencies = {{"{it.name}" = "{version}"}}',
        "maven": f'dependencies = ["org.example:{it.name}:{version}"]',
        "cargo": f'requirements = ["{it.name}@={version}"]',
    }
    return f"[{it.protocol}]\n{wanted[it.protocol]}\n"


def ask(it: Shelf, key: str, path: str, **headers: str) -> httpx.Response:
    return it.orchard.get(f"/v/lock-{key}{path}", headers={"accept": JSON, **headers}, timeout=60)


@kinds
def test_who_has__names_the_lock_and_its_view_is_no_build(shelf: NewShelf, kind: str) -> None:
    it = shelf(kind)
    it.put(AGES)
    key = ensured(it.orchard, table(it, "1.0.0"))["key"]
    assert ask(it, key, it.file("1.0.0")).status_code == 200, "the view is made"
    params = {"of": hashlib.sha256(it.data["1.0.0"]).hexdigest()}
    address = it.orchard.url("/api/v1/admin/who-has")
    told = httpx.get(address, params=params, headers=ADMIN, trust_env=False, timeout=60).json()["named_by"]
    assert ("lock", key) in {(each["kind"], each["key"]) for each in told}
    assert not [each for each in told if each["kind"] == "build" and each["key"] == key]
    builds = httpx.get(it.orchard.url("/api/v1/admin/builds"), headers=ADMIN, trust_env=False).json()["items"]
    assert key not in {each["id"] for each in builds}


@kinds
def test_view_of_a_lock__its_files_and_pages_of_exactly_them(shelf: NewShelf, kind: str) -> None:
    it, other = shelf(kind), shelf(kind)
    for each in (it, other):
        each.put(AGES)
    it.get(it.page)
    key = ensured(it.orchard, table(it, "1.0.0"))["key"]
    asked = it.upstream.count()
    page = ask(it, key, it.page)
    assert page.status_code == 200, page.text
    assert it.listed(page.text) == ["1.0.0"]
    assert ask(it, key, it.file("1.0.0")).content == it.data["1.0.0"]
    for path in (it.file("2.0.0"), other.page, other.file("1.0.0")):
        answer = ask(it, key, path)
        assert (answer.status_code, answer.headers["x-orchard-error"]) == (404, "not_in_view"), path
        assert key in answer.text
    assert it.upstream.count() == asked
    again = ask(it, key, it.page)
    assert again.content == page.content


def test_blocked_later__refused_in_the_view(shelf: NewShelf) -> None:
    it = shelf("npm")
    it.put(AGES)
    key = ensured(it.orchard, table(it, "1.0.0"))["key"]
    assert ask(it, key, it.file("1.0.0")).status_code == 200
    block = {"protocol": it.protocol, "name": it.name, "version": "1.0.0", "reason": "it steals"}
    made = httpx.post(it.orchard.url("/api/v1/admin/blocks"), json=block, headers=ADMIN, trust_env=False)
    assert made.status_code == 201
    assert ask(it, key, it.file("1.0.0")).status_code == 403


def test_lock_made_anew__its_view_follows(shelf: NewShelf) -> None:
    it = shelf("pypi")
    it.put({"1.0.0": 300 * DAY})
    text = f'[pypi]\nrequirements = ["{it.name}"]\n'
    key = ensured(it.orchard, text)["key"]
    assert it.listed(ask(it, key, it.page).text) == ["1.0.0"]
    it.put(AGES)
    httpx.post(
        it.orchard.url("/api/v1/admin/cache/invalidate"),
        json={"protocol": it.protocol, "project": it.name},
        headers=ADMIN,
        trust_env=False,
    )
    assert ensured(it.orchard, text, "?refresh=true")["key"] == key
    wait_until(lambda: it.listed(ask(it, key, it.page).text) == ["2.0.0"], seconds=60, what="the new lock")
    assert ask(it, key, it.file("1.0.0")).status_code == 404


def test_other_bytes_are_stored_under_a_files_name_by_now__503_and_they_do_not_come(shelf: NewShelf) -> None:
    it = shelf("npm")
    it.put(AGES)
    key = ensured(it.orchard, table(it, "1.0.0"))["key"]
    assert it.get(it.file("2.0.0")).status_code == 200

    async def swap() -> None:
        async with session(it.orchard.database_url) as database:
            await database.fetch(SWAP, it.name)

    asyncio.run(swap())
    for path in (it.file("1.0.0"), it.page):
        answer = ask(it, key, path)
        assert (answer.status_code, answer.headers["x-orchard-error"]) == (503, "ensure_incomplete"), path
        assert "with other bytes" in answer.text


@pytest.mark.parametrize("name", ["lock-" + "0" * 64, "lock-x", "lock-" + "A" * 64, "lock-" + "0" * 63])
def test_lock_that_nobody_has__404(orchard: Cluster, name: str) -> None:
    assert orchard.get(f"/v/{name}/pypi/simple/x/").status_code == 404
