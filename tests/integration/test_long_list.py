"""The list of all projects, asked for cold: it goes out while it is read, and whole or broken off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.orchard import Cluster, cluster, problem
from tests.support.upstream import Reply, Upstream

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
NAMES = [f"project-{number}" for number in range(120_000)]
ENTRIES = [{"_last-serial": 1_000_000, "name": name} for name in NAMES]
HELD_BYTES = 3 << 20  # the upstream sends no more until it is told to


class HeldList:
    """An upstream's list, of which the beginning is sent alone."""

    def __init__(self, upstream: Upstream, body: bytes) -> None:
        self.goes_on = threading.Event()
        self.body = body
        upstream.put("/simple/", Reply(b"", JSON, etag="", part=self._part, size=len(body)))

    def _part(self, start: int, end: int) -> bytes:
        if end > HELD_BYTES:
            assert self.goes_on.wait(60)
        return self.body[start:end]


@pytest.fixture
def orchard(tmp_path: Path, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path, upstream) as running:
        yield running


def _asked(orchard: Cluster, accept: str, coding: str) -> httpx.Response:
    return orchard.get("/pypi/simple/", headers={"accept": accept, "accept-encoding": coding}, timeout=60)


def test_cold_list__goes_out_while_it_is_read__then_the_same_from_the_cache(
    orchard: Cluster, upstream: Upstream
) -> None:
    held = HeldList(upstream, json.dumps({"meta": {"api-version": "1.1"}, "projects": ENTRIES}).encode())
    asked = upstream.count("/simple/", "GET")
    headers = {"accept": JSON, "accept-encoding": "gzip"}
    with (
        ThreadPoolExecutor(2) as pool,
        httpx.stream("GET", orchard.url("/pypi/simple/"), headers=headers, timeout=60) as answer,
    ):
        assert (answer.status_code, answer.headers["x-cache"]) == (200, "LIVE")
        assert answer.headers["content-type"] == JSON and answer.headers["content-encoding"] == "gzip"
        assert answer.headers["cache-control"] == "no-store" and "etag" not in answer.headers
        pieces = answer.iter_bytes()
        text = next(pieces)
        while b"project-9" not in text:
            text += next(pieces)
        assert not held.goes_on.is_set()
        html = pool.submit(_asked, orchard, HTML, "identity")  # joins the same job for another body
        again = pool.submit(_asked, orchard, JSON, "gzip")
        held.goes_on.set()
        text += b"".join(pieces)
        assert [each["name"] for each in json.loads(text)["projects"]] == NAMES
        assert html.result().status_code == again.result().status_code == 200
        assert html.result().text.count("<a href=") == len(NAMES)
        assert again.result().content == text
    assert upstream.count("/simple/", "GET") == asked + 1
    hit = _asked(orchard, JSON, "gzip")
    assert (hit.headers["x-cache"], hit.content) == ("HIT", text)
    assert hit.headers["etag"]


@pytest.mark.parametrize("end", [b"]", b'],"meta":{"api-version":"2.0"}}'], ids=["cut", "of another API"])
def test_cold_list__that_ends_as_none__broken_off_and_from_then_on_an_error(
    orchard: Cluster, upstream: Upstream, end: bytes
) -> None:
    held = HeldList(upstream, b'{"projects":' + json.dumps(ENTRIES)[:-1].encode() + end)
    headers = {"accept": JSON, "accept-encoding": "identity"}
    with httpx.stream("GET", orchard.url("/pypi/simple/"), headers=headers, timeout=60) as answer:
        assert answer.headers["x-cache"] == "LIVE"
        held.goes_on.set()
        with pytest.raises(httpx.TransportError):
            for _ in answer.iter_raw():
                pass
    assert problem(_asked(orchard, JSON, "identity"))["code"] == "upstream_invalid"


@pytest.mark.parametrize("headers", [{"if-none-match": '"x"'}, {"range": "bytes=0-9"}], ids=["known", "part"])
def test_cold_list__asked_for_by_a_validator_or_in_part__answered_once_it_is_there(
    orchard: Cluster, upstream: Upstream, headers: dict[str, str]
) -> None:
    held = HeldList(upstream, json.dumps({"meta": {"api-version": "1.1"}, "projects": ENTRIES}).encode())
    held.goes_on.set()
    answer = orchard.get(
        "/pypi/simple/", headers={"accept": JSON, "accept-encoding": "identity", **headers}, timeout=60
    )
    assert answer.headers["x-cache"] == "MISS" and answer.headers["etag"]


def test_cold_list__that_is_short__answered_whole(orchard: Cluster, upstream: Upstream) -> None:
    body = json.dumps({"meta": {"api-version": "1.1"}, "projects": ENTRIES[:10_000]}).encode()
    upstream.put("/simple/", Reply(body, JSON))
    answer = _asked(orchard, JSON, "identity")
    assert answer.headers["x-cache"] == "MISS" and answer.headers["etag"]
    assert len(answer.json()["projects"]) == 10_000
