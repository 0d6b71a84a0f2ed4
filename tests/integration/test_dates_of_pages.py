"""A page tells the Last-Modified that its body is of: If-Modified-Since never keeps an older one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, wait_until
from tests.support.upstream import Upstream

Names = Callable[[], str]
ADMIN = {"authorization": "Bearer an-operators-token"}
FIRST, SECOND = "Wed, 01 May 2024 10:00:00 GMT", "Thu, 02 May 2024 10:00:00 GMT"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": "an-operators-token", "ORCHARD_ANONYMOUS_READ": "true"}


class Client:
    """One that keeps the body of each date that it was told."""

    def __init__(self, orchard: Cluster, upstream: Upstream, name: str) -> None:
        self.orchard, self.upstream, self.name = orchard, upstream, name
        self.filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        self.kept: dict[str, bytes] = {}

    def publish(self, number: int, date: str) -> None:
        wheel = build_wheel(self.name, "1.0", requires=[f"r{number}"])
        page = self.upstream.add_project(self.name, {self.filename: wheel})
        self.upstream.put(page, replace(self.upstream.reply(page), last_modified=date))

    def ask(self, **headers: str) -> httpx.Response:
        headers = {"accept": JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.orchard.get(f"/pypi/simple/{self.name}/", headers=headers)

    def look(self) -> bytes:
        """The page as it is now; each copy that may be kept beside it is this one."""
        answer = self.ask()
        for date, body in self.kept.items():
            if self.ask(if_modified_since=date).status_code == 304:
                assert body == answer.content, f"told to keep another page of {date}"
        if "last-modified" in answer.headers:
            self.kept[answer.headers["last-modified"]] = answer.content
        return answer.content

    def shown(self) -> dict[str, Any]:
        (file,) = self.ask().json()["files"]
        return dict(file)

    def store(self) -> None:
        """The file, and what its metadata adds to the page."""
        self.orchard.get(self.orchard.file_path(self.name, self.filename))

        def told() -> bool:
            return isinstance(self.shown().get("core-metadata"), dict)

        wait_until(told, what="the metadata's digest on the page")

    def admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = self.orchard.url(f"/api/v1/{path}")
        answer = httpx.request(method, url, headers=ADMIN, timeout=30, trust_env=False, **options)
        assert answer.is_success, answer.text
        return answer

    def change(self) -> None:
        """The upstream's file becomes another, on a page of another date."""
        self.publish(2, SECOND)

    def refresh(self) -> None:
        self.ask(cache_control="no-cache")

    def block(self) -> int:
        block = {"protocol": "pypi", "name": self.name, "version": "1.0", "reason": "test"}
        return int(self.admin("POST", "admin/blocks", json=block).json()["id"])


def back_fill(client: Client) -> None:
    client.store()


def accept(client: Client) -> None:
    client.store()
    client.change()

    def found() -> list[dict[str, Any]]:
        client.refresh()
        query = {"project": client.name, "kind": "upstream_mutated"}
        return list(client.admin("GET", "events", params=query).json()["items"])

    wait_until(found, what="the event")
    before = client.look()
    client.admin("POST", f"admin/events/{found()[0]['id']}/accept")
    wait_until(lambda: client.look() != before, what="the accepted page")


def block(client: Client) -> None:
    client.block()


def unblock(client: Client) -> None:
    made = client.block()
    blocked = client.look()
    client.admin("DELETE", f"admin/blocks/{made}")
    assert client.look() != blocked
    client.store()  # differs from what it was before


def source_s_change(client: Client) -> None:
    client.change()
    client.refresh()


@pytest.mark.parametrize("change", [back_fill, accept, block, unblock, source_s_change])
def test_page_changes__no_client_is_told_that_its_older_copy_stands(
    orchard: Cluster, upstream: Upstream, project: Names, change: Callable[[Client], None]
) -> None:
    client = Client(orchard, upstream, project())
    client.publish(1, FIRST)
    first = client.look()
    assert list(client.kept) == [FIRST]
    assert client.ask(if_modified_since=FIRST).status_code == 304
    change(client)
    assert client.look() != first
    assert client.look() == client.look()


def test_stored_file_that_adds_nothing__the_page_keeps_its_date(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename = f"{name.replace('-', '_')}-1.0.tar.gz"
    page = upstream.add_project(name, {filename: b"\x1f\x8b x"})
    upstream.put(page, replace(upstream.reply(page), last_modified=FIRST))
    orchard.page(name)
    orchard.get(orchard.file_path(name, filename))
    orchard.page(name, **{"Cache-Control": "no-cache"})
    answer = orchard.get(f"/pypi/simple/{name}/", headers={"if-modified-since": FIRST})
    assert answer.status_code == 304


def test_page_with_what_was_shown_before__has_no_date(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    files = {f"{name.replace('-', '_')}-1.0.tar.gz": b"\x1f\x8b x"}
    for date, sizes in ((FIRST, True), (SECOND, False)):
        page = upstream.add_project(name, files, sizes=sizes)
        upstream.put(page, replace(upstream.reply(page), last_modified=date))
        shown = orchard.page(name, **{"Cache-Control": "no-cache"})
    assert shown["files"][0]["size"] == 4
    assert "last-modified" not in orchard.get(f"/pypi/simple/{name}/", headers={"accept": JSON}).headers
