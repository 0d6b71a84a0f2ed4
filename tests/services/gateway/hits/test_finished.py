"""An answer out of memory is the answer that the flows give, byte for byte, whatever headers a client sends.

The same request goes to two gateways over the same stores: one that keeps nothing in memory, and one in which
everything is hot. All protocols, pages and files, small and large, with every combination of conditions.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.gateway.app import Application
from services.gateway.compose import open_gateway
from services.gateway.http.requests import key_of
from services.gateway.serving import index_flow
from shared.cache.keys import variant_name
from shared.errors import OrchardError
from shared.http.via import name_of, via_value
from shared.models import FORMAT, IndexHead, StoredFile, VariantInfo
from shared.objects.port import VARIANTS, artifact_key
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.redis import clock
from tests.contracts.test_protocols import SAMPLES, each_protocol
from tests.services.gateway.conftest import Stores

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Litestar, of its routes

NOW = int(time.time()) + 0.75
FRESH_UNTIL = NOW + 299.5
MODIFIED = "Wed, 01 May 2024 10:00:00 GMT"
HOSTS = (b"127.0.0.1:8080", b"localhost:81")
SMALL, LARGE = 2_000, 300_000  # in memory; by path

Headers = dict[bytes, bytes]


class Answered(msgspec.Struct):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass
class Pair:
    """Two gateways: `plain` keeps nothing, `hot` all."""

    plain: Application
    hot: Application
    own: bytes  # this installation's Via

    def finds(self, method: str, path: bytes, headers: Headers) -> bool:
        """Whether memory alone answers."""
        assert self.hot.gateway is not None
        headers = {name: value for name, value in headers.items() if not name.startswith(b"x-forwarded-")}
        key = key_of(method, path, b"", headers)
        return self.hot.gateway.hot.find(key, headers, clock.now()) is not None


async def ask(app: Application, method: str, path: bytes, headers: Headers) -> Answered:
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path.decode("latin-1"),
        "raw_path": path, "query_string": b"", "scheme": "http",
        "headers": [*headers.items(), (b"x-request-id", b"the-same")],
        "client": ("192.0.2.1", "1"),
    }  # fmt: skip
    answered = Answered(0, [], b"")

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.status, answered.headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.pathsend":
            answered.body += Path(message["path"]).read_bytes()
        else:
            answered.body += message["body"]

    await app(scope, receive, send)
    return answered


@pytest_asyncio.fixture
async def pair(
    stores: Stores, store_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(index_flow, "REVALIDATE_AT_MOST_EVERY_SECONDS", 600)
    async with AsyncExitStack() as stack:
        apps = []
        for l1_max_bytes in (0, 64 * 1024 * 1024):
            settings = msgspec.structs.replace(stores.settings, l1_max_bytes=l1_max_bytes, access_log=False)
            app = Application(settings)
            app.gateway = await stack.enter_async_context(open_gateway(settings))
            apps.append(app)
        installation = (await stores.database.fetch("SELECT id FROM installation"))[0]["id"]
        yield Pair(*apps, own=via_value(name_of(installation)).encode())


async def put_page(stores: Stores, protocol: PackageProxyBase, resource: Resource, size: int) -> None:
    """A page in all its codings, for each address if its bodies have one."""
    variants, bodies = {}, {}
    addresses = [f"http://{host.decode()}{protocol.mount[:-1]}" for host in HOSTS]
    for coding, address in itertools.product(
        resource.content_codings, addresses if resource.per_base_url else [""]
    ):
        text = f"{address} {resource.identity} ".encode()
        body = (text * size)[:size]
        body = gzip.compress(body, 0, mtime=0) if coding == "gzip" else body
        name = variant_name(resource.representation, coding, address)
        digest = hashlib.sha256(body).hexdigest()
        where = f"{VARIANTS}/{digest}" if size == LARGE else ""
        if where:
            await stores.objects.put_bytes(where, body)
        else:
            bodies[name] = body
        variants[name] = VariantInfo(f'"{digest[:32]}"', len(body), "text/x", object_key=where)
    head = IndexHead(
        FORMAT,
        200,
        int(time.time() * 1e6),
        0,
        1,
        NOW - 0.5,
        FRESH_UNTIL,
        variants=variants,
        modified=MODIFIED,
    )
    assert await stores.cache.write_index(resource.protocol, resource.identity, head, bodies)


async def put_file(stores: Stores, resource: Resource, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    facts = StoredFile(
        digest, len(data), "application/x", artifact_key(digest), resource.filename,
        created_at=1_700_000_000.0, digests={"sha1": hashlib.sha1(data).hexdigest()},
    )  # fmt: skip
    await stores.objects.put_bytes(facts.object_key, data)
    assert await stores.cache.write_facts(resource.file, facts)


def conditions(etag: bytes, modified: bytes) -> Iterator[Headers]:
    """All combinations of what makes a request conditional, and with each of them something else."""
    tags = [
        b"", etag, b"W/" + etag, b'"x", ' + etag + b' , W/"y"', b'"x"', b"*", b" * ", etag[1:-1],
        b'"x,' + etag,
    ]  # fmt: skip
    dates = [b"", modified or MODIFIED.encode(), b"Thu, 02 May 2024 10:00:00 GMT"]
    ranges = [b"", b"bytes=0-3", b"bytes=-5", b"bytes=99999999-", b"bytes=0-1,4-5"]
    for tag, date, asked in itertools.product(tags, dates, ranges):
        for if_range in (b"", etag, b"W/" + etag, b'"x"') if asked else (b"",):
            found = {
                b"if-none-match": tag, b"if-modified-since": date, b"range": asked, b"if-range": if_range
            }  # fmt: skip
            yield {name: value for name, value in found.items() if value}


def others(own: bytes) -> list[Headers]:
    """What else a request may say."""
    return [
        {},
        {b"host": HOSTS[1]},
        {b"via": b"1.1 varnish, 1.1 orchard-0123456789abcdef"},
        {b"via": b"1.1 somebody, " + own},
        {b"via": own + b"0"},  # of another installation, whose name begins alike
        {b"via": b", ".join(b"1.1 orchard-%016x" % n for n in range(9))},
        {b"cache-control": b"no-cache"},
        {b"cache-control": b"max-age=0"},
        {b"authorization": b"Basic eDp5", b"accept-encoding": b"gzip"},
        {b"origin": b"http://localhost:81", b"host": HOSTS[1], b"via": b"1.0 x"},
        {b"x-forwarded-proto": b"https", b"x-forwarded-host": b"evil.example.com"},
    ]


def is_expected_hot(method: str, headers: Headers, answered: Answered, heeds_no_cache: bool) -> bool:
    """What memory must be able to answer by itself."""
    no_cache = heeds_no_cache and headers.get(b"cache-control") == b"no-cache"
    if method != "GET" or no_cache or answered.status not in (200, 304):
        return False
    near = b"via" in headers and headers[b"via"].endswith(b"0")  # a closer look is needed
    return not near and (answered.status == 304 or b"range" not in headers)


async def compared(pair: Pair, path: bytes, *, heeds_no_cache: bool) -> None:
    """Every request is answered alike, and from memory where it can be."""
    accept = {b"accept": b"*/*"}
    first = await ask(pair.plain, "GET", path, {b"host": HOSTS[0], **accept})
    assert first.status == 200
    said = dict(first.headers)
    for other in others(pair.own):  # from Redis into memory, then into a finished answer
        for _ in range(3):
            await ask(pair.hot, "GET", path, {b"host": HOSTS[0], **accept, **other})
    statuses = set()
    rest, methods = itertools.cycle(others(pair.own)), itertools.cycle(["GET", "GET", "HEAD"])
    for condition in conditions(said[b"etag"], said.get(b"last-modified", b"")):
        for method, other in (("GET", Headers()), (next(methods), next(rest))):
            headers = {b"host": HOSTS[0], **accept, **other, **condition}
            plain = await ask(pair.plain, method, path, headers)
            is_hot = pair.finds(method, path, headers)
            assert is_hot is is_expected_hot(method, headers, plain, heeds_no_cache), (method, headers)
            assert await ask(pair.hot, method, path, headers) == plain, (method, headers)
            statuses.add(plain.status)
    assert {200, 304, 508} <= statuses


@each_protocol
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_page__hot__is_answered_as_by_the_flow(
    pair: Pair, stores: Stores, protocol: PackageProxyBase, size: int
) -> None:
    below = SAMPLES[protocol.name].index_path
    resource = protocol.grammar.classify("GET", below, b"", {b"accept": b"*/*"})
    assert isinstance(resource, Resource)
    await put_page(stores, protocol, resource, size)
    assert pair.plain.gateway is not None
    # The upstream was asked lately: no-cache does not ask again.
    await pair.plain.gateway.ports.index.allow_revalidation(protocol.name, resource.identity, 600)
    path = protocol.mount[:-1].encode() + below
    await compared(pair, path, heeds_no_cache=resource.honours_no_cache)


@each_protocol
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_file__hot__is_answered_as_by_the_flow(
    pair: Pair, stores: Stores, protocol: PackageProxyBase, size: int
) -> None:
    data = b"PK\x03\x04" + bytes(range(200)) * (size // 200)
    digest = hashlib.sha256(data).hexdigest()
    below = SAMPLES[protocol.name].file_path.replace(b"0" * 64, digest.encode())
    resource = protocol.grammar.classify("GET", below, b"", {b"accept": b"*/*"})
    assert isinstance(resource, Resource)
    await put_file(stores, resource, data)
    mount = protocol.mount[:-1].encode()
    await compared(pair, mount + below, heeds_no_cache=False)


@each_protocol
async def test_checksum_file__hot__is_answered_as_by_the_flow(
    pair: Pair, stores: Stores, protocol: PackageProxyBase
) -> None:
    below = SAMPLES[protocol.name].file_path + b".sha1"
    try:
        resource = protocol.grammar.classify("GET", below, b"", {b"accept": b"*/*"})
    except OrchardError:
        return  # there are none in this protocol
    if isinstance(resource, Resource) and resource.sidecar:
        await put_file(stores, resource, b"PK\x03\x04" + bytes(SMALL))
        await compared(pair, protocol.mount[:-1].encode() + below, heeds_no_cache=False)
