"""Conditions and ranges of index pages: the same answers in every protocol, from wherever they come."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from tests.support.gateway import RawResponse, raw_request
from tests.support.maven_builders import Repository
from tests.support.npm_builders import packument_path, publish
from tests.support.orchard import JSON, Cluster, Service
from tests.support.upstream import Fault, Upstream

HOST = "orchard.example.org"
DATE = "Wed, 01 May 2024 10:00:00 GMT"
LATER = "Thu, 02 May 2024 10:00:00 GMT"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ALLOWED_HOSTS": HOST}


@dataclass(frozen=True)
class Case:
    """A request and what it gets: a status, and of the whole body the piece from `start` to `end`."""

    name: str
    headers: tuple[tuple[str, str], ...] = ()  # "{etag}" stands for the page's own
    status: int = 200
    start: int = 0
    end: int | None = None
    method: str = "GET"

    @property
    def knows_the_page(self) -> bool:
        return any("{etag}" in value for _, value in self.headers)


CASES = (
    Case("plain"),
    Case("head", method="HEAD"),
    Case("date as it was sent", (("if-modified-since", DATE),), 304),
    Case("date as it was sent, head", (("if-modified-since", DATE),), 304, method="HEAD"),
    Case("later date: no validator", (("if-modified-since", LATER),)),
    Case("other etag beats the date", (("if-none-match", '"x"'), ("if-modified-since", DATE))),
    Case("etag beats another date", (("if-none-match", "{etag}"), ("if-modified-since", LATER)), 304),
    Case("first bytes", (("range", "bytes=0-9"),), 206, 0, 10),
    Case("last bytes", (("range", "bytes=-5"),), 206, -5),
    Case("from a byte on", (("range", "bytes=7-"),), 206, 7),
    Case("past the end", (("range", "bytes=9999999-"),), 416),
    Case("several ranges: the whole", (("range", "bytes=0-1,3-4"),)),
    Case("other unit: the whole", (("range", "lines=0-1"),)),
    Case("if-range with the etag", (("range", "bytes=3-4"), ("if-range", "{etag}")), 206, 3, 5),
    Case("if-range with another", (("range", "bytes=3-4"), ("if-range", '"x"'))),
    Case("if-range with a date is weak", (("range", "bytes=3-4"), ("if-range", DATE))),
    Case("not modified beats the range", (("range", "bytes=3-4"), ("if-modified-since", DATE)), 304),
    Case("head has no range", (("range", "bytes=0-9"),), method="HEAD"),
)


class Pages:
    """Pages of one protocol at two gateways; each new one has a date of its upstream."""

    def __init__(self, protocol: str, orchard: Cluster, upstream: Upstream, second: Service) -> None:
        self.protocol, self.orchard, self.upstream, self.second = protocol, orchard, upstream, second

    def new(self) -> str:
        """The path of a page that was never asked for."""
        name = f"dated-{next(_numbers)}"
        if self.protocol == "pypi":
            of = self.upstream.add_project(name, {f"{name.replace('-', '_')}-1.0.tar.gz": b"\x1f\x8b x"})
            path = f"/pypi/simple/{name}/"
        elif self.protocol == "npm":
            publish(self.upstream, name, {"1.0.0": {}})
            of, path = packument_path(name), f"/npm/{name}"
        else:
            below = Repository(self.upstream).add_metadata("org.demo", name, ["1.0", "1.1"])
            of = path = f"/maven/{below}"
        self.upstream.put(of, replace(self.upstream.reply(of), last_modified=DATE))
        return path

    def ask(self, service: Service, path: str, coding: str, case: Case, etag: str = "") -> RawResponse:
        headers = {"host": HOST, "accept-encoding": coding}
        headers |= {"accept": JSON} if self.protocol == "pypi" else {}
        headers |= {name: value.replace("{etag}", etag) for name, value in case.headers}
        return raw_request(service.port, path, case.method, headers)


@pytest.fixture(scope="module")
def second(orchard: Cluster) -> Service:
    return orchard.start("gateway")


@pytest.fixture(params=["pypi", "npm", "maven"])
def pages(request: pytest.FixtureRequest, orchard: Cluster, upstream: Upstream, second: Service) -> Pages:
    return Pages(request.param, orchard, upstream, second)


def holds(case: Case, answer: RawResponse, whole: RawResponse, told: str) -> None:
    """The answer is what the case says of the whole page."""
    about = f"{case.name}, {told}: {answer.status} {answer.headers}"
    assert answer.complete and answer.status == case.status, about
    if answer.status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(whole.body)}", about
        return
    assert answer.headers["last-modified"] == DATE, about
    assert answer.headers["etag"] == whole.headers["etag"], about
    if answer.status == 304:
        assert answer.body == b"" and "content-range" not in answer.headers, about
        return
    body = whole.body[case.start : case.end]
    assert answer.headers.get("content-encoding") == whole.headers.get("content-encoding"), about
    assert answer.headers["accept-ranges"] == "bytes", about
    assert answer.headers["content-length"] == str(len(body)), about
    assert answer.body == (b"" if case.method == "HEAD" else body), about
    if answer.status == 206:
        start = case.start % len(whole.body)
        last = start + len(body) - 1
        assert answer.headers["content-range"] == f"bytes {start}-{last}/{len(whole.body)}", about
    else:
        assert "content-range" not in answer.headers, about


def each(pages: Pages) -> Iterator[tuple[str, Case]]:
    for coding in ("identity", "gzip"):
        for case in CASES:
            yield coding, case


PLAIN, HEAD = CASES[0], CASES[1]
Way = Callable[[Pages, str, str], tuple[Service, RawResponse]]


def hot(pages: Pages, path: str, coding: str) -> tuple[Service, RawResponse]:
    service = pages.orchard.gateway
    for _ in range(2):
        whole = pages.ask(service, path, coding, PLAIN)
    return service, whole


def from_memory(pages: Pages, path: str, coding: str) -> tuple[Service, RawResponse]:
    whole = pages.ask(pages.orchard.gateway, path, coding, PLAIN)
    pages.ask(pages.second, path, coding, HEAD)  # reads it, keeps no finished page
    return pages.second, whole


def from_redis(pages: Pages, path: str, coding: str) -> tuple[Service, RawResponse]:
    return pages.second, pages.ask(pages.orchard.gateway, path, coding, PLAIN)


@pytest.mark.parametrize("way", [hot, from_memory, from_redis])
def test_page__every_condition_and_range__the_same_answer(pages: Pages, way: Way) -> None:
    path = ""
    for coding, case in each(pages):
        if way is from_redis or case is PLAIN:  # once read, a page is in memory
            path = pages.new()
            service, whole = way(pages, path, coding)
        answer = pages.ask(service, path, coding, case, whole.headers["etag"])
        holds(case, answer, whole, f"{pages.protocol} {coding} {way.__name__}")
        assert answer.headers["x-cache"] == "HIT"


def test_cold_page__every_condition_and_range__the_same_answer(pages: Pages) -> None:
    for coding, case in each(pages):
        if case.knows_the_page:
            continue
        path, service = pages.new(), pages.orchard.gateway
        answer = pages.ask(service, path, coding, case)
        whole = pages.ask(service, path, coding, PLAIN)
        holds(case, answer, whole, f"{pages.protocol} {coding} cold")
        assert answer.headers["x-cache"] == "MISS"


def test_page_restored_from_its_row__every_condition_and_range__the_same_answer(
    pages: Pages, upstream: Upstream, orchard: Cluster
) -> None:
    service = orchard.gateway
    asked = [(coding, case, pages.new()) for coding, case in each(pages)]
    wholes = [pages.ask(service, path, coding, PLAIN) for coding, _, path in asked]
    upstream.fault("*", Fault(status=503, body=b""))
    with orchard.client(orchard.cache) as cache:
        cache.flushall()
        for (coding, case, path), whole in zip(asked, wholes, strict=True):
            answer = pages.ask(service, path, coding, case, whole.headers["etag"])
            holds(case, answer, whole, f"{pages.protocol} {coding} row")
            assert answer.headers["x-cache"] == "STALE"
        upstream.heal()
        cache.flushall()  # what is left alone, too


def test_large_page__pieces_come_from_the_object_store(
    orchard: Cluster, upstream: Upstream, second: Service
) -> None:
    files = {f"large-1.{number}.tar.gz": b"\x1f\x8b %d" % number for number in range(3000)}
    of = upstream.add_project("large", files)
    upstream.put(of, replace(upstream.reply(of), last_modified=DATE))
    pages = Pages("pypi", orchard, upstream, second)
    whole = pages.ask(orchard.gateway, "/pypi/simple/large/", "identity", PLAIN)
    assert len(whole.body) > 256 * 1024
    for case in CASES:
        answer = pages.ask(second, "/pypi/simple/large/", "identity", case, whole.headers["etag"])
        holds(case, answer, whole, "large")


def test_source_that_tells_no_date__none_is_told_and_none_matches(
    orchard: Cluster, upstream: Upstream
) -> None:
    upstream.add_project("undated", {"undated-1.0.tar.gz": b"\x1f\x8b x"})
    for dates in ({}, {"if-modified-since": DATE}, {"if-modified-since": ""}):
        answer = raw_request(orchard.gateway.port, "/pypi/simple/undated/", headers=dates)
        assert answer.status == 200 and "last-modified" not in answer.headers
