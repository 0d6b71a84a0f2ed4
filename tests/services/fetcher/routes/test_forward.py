"""Passing requests on: no source learns of names that belong to another one."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from services.fetcher.sources import breakers
from shared.models import BreakerState
from shared.queue.jobs import FetchIndex
from shared.worker.heartbeat import Heartbeat, read_health
from shared.worker.tokens import token_for
from tests.services.fetcher.conftest import Fetcher, running_fetcher
from tests.support.breakers import read_breaker
from tests.support.upstream import Fault, Reply, Upstream

BULK = "-/npm/v1/security/advisories/bulk"
QUICK = "-/npm/v1/security/audits/quick"
SEARCH = "-/v1/search"
ASKED = b'{"asked":[]}'


@pytest.fixture
def private() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest_asyncio.fixture
async def fetcher(upstream: Upstream, private: Upstream, environ: dict[str, str]) -> AsyncIterator[Fetcher]:
    for path in (BULK, QUICK, SEARCH):
        upstream.put(f"/{path}", Reply(ASKED, "application/json"))
    both = f"{upstream.url},{private.url}"
    async with running_fetcher(upstream, {**environ, "ORCHARD_NPM_UPSTREAM": both}) as running:
        async with asyncio.timeout(30):
            while not await running.cache.read_revision("npm"):
                await asyncio.sleep(0.02)
        yield running


async def _bind(fetcher: Fetcher, pattern: str, source: str = "npm-2") -> None:
    before = await fetcher.cache.read_revision("npm")
    await fetcher.database.execute(
        "UPDATE upstream_sources SET include = ARRAY[$1] WHERE name = $2", pattern, source
    )
    async with asyncio.timeout(30):
        while await fetcher.cache.read_revision("npm") <= before:
            await asyncio.sleep(0.02)


def _secret(fetcher: Fetcher) -> str:
    return fetcher.settings.queue_redis_password


async def _forward(
    fetcher: Fetcher, path: str, body: Any = None, *, coding: str = ""
) -> tuple[int, str, bytes]:
    """Status of the fetcher, of the upstream, and the body."""
    async with asyncio.timeout(30):
        while True:
            beats = [
                each for each in await read_health(fetcher.queue._redis) if token_for(each, _secret(fetcher))
            ]
            if beats:
                break
            await asyncio.sleep(0.02)
    data = b"" if body is None else json.dumps(body).encode()
    headers = {
        "x-orchard-token": token_for(beats[0], _secret(fetcher)),
        "x-orchard-method": "GET" if body is None else "POST",
        "x-orchard-path": path,
    }
    if coding:
        data, headers["x-orchard-content-encoding"] = gzip.compress(data), coding
    url = f"http://{beats[0].address}/forward/npm"
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as answer:
        return answer.status, answer.headers.get("x-orchard-status", ""), await answer.read()


@pytest.mark.parametrize("coding", ["", "gzip"])
@pytest.mark.parametrize(
    ("path", "body", "rest"),
    [
        (BULK, {"@acme/tool": ["1.0.0"], "left-pad": ["1"]}, {"left-pad": ["1"]}),
        (
            QUICK,
            {"requires": {"@acme/tool": "1"}, "dependencies": {"x": {"requires": {"@acme/tool": "1"}}}},
            {"requires": {}, "dependencies": {"x": {"requires": {}}}},
        ),
    ],
)
async def test_forward__bound_name_in_an_audit__does_not_reach_the_other_source(
    fetcher: Fetcher, upstream: Upstream, private: Upstream, path: str, body: Any, rest: Any, coding: str
) -> None:
    await _bind(fetcher, "@acme/*")
    assert await _forward(fetcher, path, body, coding=coding) == (200, "200", ASKED)
    [seen] = upstream.seen(f"/{path}")
    assert json.loads(seen.body) == rest
    assert "content-encoding" not in seen.headers
    assert not private.requests


async def test_forward__pinned_name__does_not_reach_the_other_source(
    fetcher: Fetcher, upstream: Upstream
) -> None:
    [source] = await fetcher.database.fetch("SELECT id FROM upstream_sources WHERE name = 'npm-2'")
    await fetcher.database.execute(
        "INSERT INTO project_pins (protocol, project, source_id) VALUES ('npm', 'secret', $1)", source["id"]
    )
    await _forward(fetcher, BULK, {"secret": ["1"], "left-pad": ["1"]})
    assert json.loads(upstream.seen(f"/{BULK}")[0].body) == {"left-pad": ["1"]}


@pytest.mark.parametrize("told", ["", "text\x01", "caf\xe9", "a" * 300])
async def test_forward__content_type_that_is_none__answered_all_the_same(
    fetcher: Fetcher, upstream: Upstream, told: str
) -> None:
    upstream.put(f"/{SEARCH}", Reply(ASKED, told))
    assert await _forward(fetcher, f"{SEARCH}?text=a") == (200, "200", ASKED)


async def test_forward__nothing_bound__body_goes_as_it_is(fetcher: Fetcher, upstream: Upstream) -> None:
    await _forward(fetcher, BULK, {"left-pad": ["1"]}, coding="gzip")
    [seen] = upstream.seen(f"/{BULK}")
    assert seen.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(seen.body)) == {"left-pad": ["1"]}


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
async def test_forward__answer_coded_although_not_asked_for__arrives_as_it_was_meant(
    fetcher: Fetcher, upstream: Upstream, coding: str
) -> None:
    packed = gzip.compress(b'{"left-pad":[]}')
    upstream.put(f"/{BULK}", Reply(packed, "application/json", headers={"content-encoding": coding}))
    assert await _forward(fetcher, BULK, {"left-pad": ["1"]}) == (200, "200", b'{"left-pad":[]}')


@pytest.mark.parametrize("body", [b"null", b"[]", b"<html></html>", b'{"error":"down"}'])
async def test_forward__success_that_is_no_audit__is_told_as_such(
    fetcher: Fetcher, upstream: Upstream, body: bytes
) -> None:
    upstream.put(f"/{BULK}", Reply(body, "application/json"))
    status, _, told = await _forward(fetcher, BULK, {"left-pad": ["1"]})
    assert (status, json.loads(told)["code"]) == (503, "upstream_invalid")


async def test_forward__audit_of_bound_names_alone__is_refused_and_nobody_is_asked(
    fetcher: Fetcher, upstream: Upstream, private: Upstream
) -> None:
    await _bind(fetcher, "@acme/*")
    status, _, told = await _forward(fetcher, BULK, {"@acme/tool": ["1.0.0"]})
    assert (status, json.loads(told)["code"]) == (503, "upstream_refused")
    assert not upstream.requests and not private.requests


async def test_forward__search_for_a_bound_name__no_results_and_nobody_is_asked(
    fetcher: Fetcher, upstream: Upstream, private: Upstream
) -> None:
    await _bind(fetcher, "@acme/*")
    for text in ("%40acme%2Ftool", "scope:acme", "left+%40acme/tool"):
        status, _, body = await _forward(fetcher, f"{SEARCH}?text={text}")
        assert (status, json.loads(body)) == (200, {"objects": [], "total": 0})
    assert not upstream.requests and not private.requests
    assert (await _forward(fetcher, f"{SEARCH}?text=left-pad"))[2] == ASKED


async def test_forward__audit_that_cannot_be_read__is_not_passed_on(
    fetcher: Fetcher, upstream: Upstream
) -> None:
    assert (await _forward(fetcher, BULK, ["@acme/tool"]))[0] == 503
    assert (await _forward(fetcher, BULK, {}, coding="br"))[0] == 503
    assert not upstream.requests


async def test_forward__first_source_has_patterns__the_first_without_is_asked(
    fetcher: Fetcher, upstream: Upstream, private: Upstream
) -> None:
    private.put(f"/{BULK}", Reply(b"{}", "application/json"))
    await _bind(fetcher, "@acme/*", source="npm")
    await _forward(fetcher, BULK, {"@acme/tool": ["1"], "left-pad": ["1"]})
    assert json.loads(private.seen(f"/{BULK}")[0].body) == {"left-pad": ["1"]}
    assert not upstream.requests


async def test_attestations__of_a_bound_name__are_asked_at_its_source(
    fetcher: Fetcher, upstream: Upstream, private: Upstream
) -> None:
    await _bind(fetcher, "@acme/*")
    path = "/-/npm/v1/attestations/@acme%2Ftool@1.0.0"
    private.put(path, Reply(b'{"attestations":[]}', "application/json"))
    await fetcher.ended(FetchIndex("npm", "attestations/@acme/tool@1.0.0"))
    assert private.requests and not upstream.requests


async def _breaker(fetcher: Fetcher) -> BreakerState | None:
    [source] = await fetcher.database.fetch("SELECT id FROM upstream_sources WHERE name = 'npm'")
    return await read_breaker(fetcher.cache, "npm", source["id"])


async def test_forward__answer_cut_again_and_again__that_address_alone_waits(
    fetcher: Fetcher, upstream: Upstream
) -> None:
    upstream.fault(f"/{BULK}", Fault(reset=True, cut_at=0))
    for _ in range(breakers.FAILURES_OF_ONE):
        await _forward(fetcher, BULK, {"x": ["1"]})
    asked = upstream.count(f"/{BULK}")
    assert (await _forward(fetcher, BULK, {"x": ["1"]}))[0] == 503
    assert upstream.count(f"/{BULK}") == asked
    assert await _breaker(fetcher) is None
    upstream.heal()
    while (answer := await _forward(fetcher, BULK, {"x": ["1"]}))[0] == 503:
        await asyncio.sleep(0.05)
    assert answer[:2] == (200, "200")


async def test_forward__audits_answered_500__packages_are_asked_for_all_the_same(
    fetcher: Fetcher, upstream: Upstream
) -> None:
    upstream.fault(f"/{BULK}", Fault(status=500))
    for _ in range(breakers.FAILURES_OF_ONE + 1):
        assert (await _forward(fetcher, BULK, {"x": ["1"]}))[:2] == (200, "500")
    assert await _breaker(fetcher) is None


async def test_forward__upstream_says_for_how_long_to_stay_away__audits_wait_and_pages_do_not(
    fetcher: Fetcher, upstream: Upstream
) -> None:
    upstream.put(f"/{BULK}", Reply(b"", status=503, headers={"retry-after": "30"}))
    for _ in range(2):
        await _forward(fetcher, BULK, {"x": ["1"]})
    assert upstream.count(f"/{BULK}") == 1
    assert await _breaker(fetcher) is None


async def _posted(beat: Heartbeat, path: str, token: str, method: str, asked: str, body: bytes = b"") -> int:
    headers = {"x-orchard-token": token, "x-orchard-method": method, "x-orchard-path": asked}
    url = f"http://{beat.address}{path}"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status


_CLOSED = ["/admin/seal", "/admin/test/npm/1", "/admin/test/pypi/1"]


async def test_heartbeat__as_redis_keeps_it__opens_nothing_but_the_forms_of_one_version_back(
    fetcher: Fetcher, upstream: Upstream
) -> None:
    assert _secret(fetcher), "the test's queue has a password"
    await _forward(fetcher, SEARCH + "?text=x")
    (beat,) = await read_health(fetcher.queue._redis)
    for guess in (beat.nonce, token_for(beat, "another password"), ""):
        for path in ("/forward/npm", *_CLOSED):
            assert await _posted(beat, path, guess, "GET", SEARCH + "?text=x") == 403, path
    for path in _CLOSED:
        assert await _posted(beat, path, beat.token, "GET", SEARCH + "?text=x") == 403, path
    async with aiohttp.ClientSession() as session:
        live = f"http://{beat.address}/live/npm:x"
        async with session.get(live, headers={"x-orchard-token": beat.token}) as answer:
            assert answer.status in (403, 404)
    before = len(upstream.requests)
    for protocol in ("npm", "pypi", "maven", "none"):
        for method in ("GET", "POST", "PUT"):
            for asked in ("secret", "-/v1/search/../x", "-/whoami", "left-pad"):
                assert await _posted(beat, f"/forward/{protocol}", beat.token, method, asked) == 400, asked
    assert len(upstream.requests) == before
    assert await _posted(beat, "/forward/npm", beat.token, "GET", SEARCH + "?text=y") == 200
    assert await _posted(beat, "/forward/npm", beat.token, "POST", BULK, b'{"left-pad":["1"]}') == 200
    assert token_for(beat, _secret(fetcher)) != beat.token


async def test_token_for__gateway_without_the_password__has_no_token_that_opens_less(
    fetcher: Fetcher,
) -> None:
    await _forward(fetcher, SEARCH + "?text=x")
    (beat,) = await read_health(fetcher.queue._redis)
    assert token_for(beat, "") == ""


@pytest.mark.parametrize("protocol", ["npm", "pypi", "maven", "none"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["secret-admin-endpoint", "-/v1/search/../x", "-/whoami"])
async def test_forward__what_no_grammar_makes__refused_before_any_upstream(
    fetcher: Fetcher, upstream: Upstream, protocol: str, method: str, path: str
) -> None:
    await _forward(fetcher, SEARCH + "?text=x")
    (beat,) = await read_health(fetcher.queue._redis)
    token = token_for(beat, _secret(fetcher))
    headers = {"x-orchard-token": token, "x-orchard-method": method, "x-orchard-path": path}
    before = len(upstream.requests)
    url = f"http://{beat.address}/forward/{protocol}"
    async with aiohttp.ClientSession() as session, session.post(url, headers=headers) as answer:
        assert answer.status == 400
    assert len(upstream.requests) == before
