"""`HttpClientManager`: bounded pools, honest errors, and nothing sent where it must not go."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from services.fetcher.http import response
from services.fetcher.http.connector import SURPLUS_IDLE_SECONDS
from services.fetcher.http.egress import gets_credentials
from services.fetcher.http.manager import HttpClientManager
from services.fetcher.http.response import decode_body
from shared.errors import (
    ConfigurationError,
    Offline,
    OrchardError,
    TooLarge,
    UpstreamBlocked,
    UpstreamInvalid,
)
from shared.errors.passing import DeadlineExceeded, UpstreamTimeout, UpstreamUnavailable
from shared.models import SourceLimits, UpstreamSource
from shared.protocols import PROTOCOLS
from tests.services.fetcher.http.conftest import BODY, HTTP1
from tests.support.upstream import Fault, Reply, Upstream


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager(
        connect_timeout_seconds=5, read_timeout_seconds=4, own_name=lambda: "orchard-0123456789abcdef"
    ) as opened:
        yield opened


def source_of(upstream: Upstream, **fields: object) -> UpstreamSource:
    return UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/", **fields)  # type: ignore[arg-type]


async def read(manager: HttpClientManager, source: UpstreamSource, url: str, **options: object) -> bytes:
    async with manager.stream(source, url, **options) as response:  # type: ignore[arg-type]
        assert response.status == 200
        return b"".join([chunk async for chunk in response.chunks()])


# --- pools ----------------------------------------------------------------------------------------


async def test_pool__256_at_once__never_more_than_its_connections(upstream: Upstream) -> None:
    upstream.fault("*", Fault(delay_seconds=0.02))
    async with HttpClientManager(max_connections=100) as manager:
        source = source_of(upstream)
        tasks = [asyncio.create_task(read(manager, source, f"{upstream.url}/file")) for _ in range(256)]
        most = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.005)
            stats = manager.stats()
            most = max(most, stats.active)
            assert stats.active <= 100
        bodies = await asyncio.gather(*tasks)
    assert all(body == BODY for body in bodies)
    assert upstream.peak_connections <= 100
    assert most == 90  # downloads leave a tenth to indexes


async def test_pool__full_of_downloads__an_index_finds_a_connection_at_once(upstream: Upstream) -> None:
    upstream.put("/index", b"{}")
    upstream.fault("/file", Fault(stall_at=10))
    async with HttpClientManager(max_connections=20, read_timeout_seconds=5) as manager:
        source = source_of(upstream)
        stalled = [asyncio.create_task(read(manager, source, f"{upstream.url}/file")) for _ in range(50)]
        async with asyncio.timeout(30):
            while manager.stats().active < 18:
                await asyncio.sleep(0.01)
        fetched = await manager.fetch(source, f"{upstream.url}/index", max_bytes=10, deadline_seconds=2)
        assert fetched.body == b"{}"
        for task in stalled:
            task.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)
        stats = manager.stats()
        assert stats.active == 0 and all(pool.waiting == 0 for pool in stats.pools.values())


@HTTP1
async def test_pool__idle_ones_to_another_host__closed_instead_of_waited_for(upstream: Upstream) -> None:
    with upstream.twin() as other:
        other.put("/file", BODY)
        async with HttpClientManager(max_connections=10, keepalive_connections=10) as manager:
            source = source_of(upstream)
            await asyncio.gather(*(read(manager, source, f"{upstream.url}/file") for _ in range(10)))
            assert 1 <= manager.stats().pools["source-1-test"].idle <= 9  # 9: the artifact lane's share
            await asyncio.gather(*(read(manager, source, f"{other.url}/file") for _ in range(9)))
            pool = manager.stats().pools["source-1-test"]
            assert pool.idle <= 10
            async with asyncio.timeout(30):  # the servers see it a little later
                while upstream.open_connections + other.open_connections > 10:
                    await asyncio.sleep(0.01)


@HTTP1
async def test_pool__idle_beyond_keepalive__closed_after_a_while_not_at_once(upstream: Upstream) -> None:
    async with HttpClientManager(max_connections=20, keepalive_connections=3) as manager:
        source = source_of(upstream)
        upstream.fault("*", Fault(delay_seconds=0.05))
        await asyncio.gather(*(read(manager, source, f"{upstream.url}/file") for _ in range(10)))
        connects = manager.stats().connects
        await asyncio.gather(*(read(manager, source, f"{upstream.url}/file") for _ in range(10)))
        assert manager.stats().connects == connects == 10
        deadline = time.monotonic() + SURPLUS_IDLE_SECONDS * 3
        while upstream.open_connections > 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert upstream.open_connections == 3
        assert manager.stats().pools["source-1-test"].idle == 3


async def test_pool__cancelled_waiters__no_slot_is_lost(upstream: Upstream) -> None:
    upstream.fault("*", Fault(delay_seconds=0.05))
    async with HttpClientManager(max_connections=2) as manager:
        source = source_of(upstream)
        for _ in range(10):
            tasks = [asyncio.create_task(read(manager, source, f"{upstream.url}/file")) for _ in range(8)]
            await asyncio.sleep(0.03)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert manager.stats().active == 0
        assert await read(manager, source, f"{upstream.url}/file") == BODY


async def test_pool__none_comes_free__deadline_and_not_the_upstreams_fault(upstream: Upstream) -> None:
    upstream.fault("*", Fault(silent=True))
    async with HttpClientManager(max_connections=1, read_timeout_seconds=0.5) as manager:
        source = source_of(upstream)
        held = asyncio.create_task(read(manager, source, f"{upstream.url}/file"))
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(read(manager, source, f"{upstream.url}/file")) for _ in range(2)]
        with pytest.raises(DeadlineExceeded):
            await asyncio.gather(*waiting)
        await asyncio.gather(held, *waiting, return_exceptions=True)


async def test_pool__source_with_limits_or_credentials__has_its_own(upstream: Upstream) -> None:
    async with HttpClientManager(max_connections=50) as manager:
        limited = source_of(upstream, limits=SourceLimits(max_connections=2))
        await read(manager, limited, f"{upstream.url}/file")
        assert manager.stats().pools["source-1-test"].max == 2


async def test_pool__source_forgotten__its_connections_close(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    await read(manager, source_of(upstream), f"{upstream.url}/file")
    connects = manager.stats().connects
    await manager.forget(1)
    assert manager.stats().pools == {}
    assert manager.stats().connects == connects


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(cut_at=0), UpstreamUnavailable),
        (Fault(cut_at=1000), UpstreamUnavailable),
        (Fault(cut_at=1000, reset=True), UpstreamUnavailable),
        (Fault(chunked=True, cut_at=1000), UpstreamUnavailable),
        (Fault(silent=True), UpstreamTimeout),
        (Fault(stall_at=1000), UpstreamTimeout),
        (Fault(headers={"x-long": "a" * 200_000}), UpstreamInvalid),
        (Fault(headers={f"x-{i}": "1" for i in range(5_000)}), UpstreamInvalid),
        (Fault(headers={"content-length": "abc"}), UpstreamInvalid),
        (Fault(redirect="/file"), UpstreamInvalid),
        (Fault(redirect="file:///etc/passwd"), UpstreamBlocked),
        (Fault(redirect="http://[oops/"), UpstreamBlocked),
    ],
)
async def test_stream__fault__named_and_the_next_request_works(
    upstream: Upstream, manager: HttpClientManager, fault: Fault, expected: type[OrchardError]
) -> None:
    source = source_of(upstream)
    upstream.fault("/file", fault)
    with pytest.raises(expected):
        await read(manager, source, f"{upstream.url}/file")
    upstream.heal()
    assert await read(manager, source, f"{upstream.url}/file") == BODY
    assert manager.stats().active == 0


@HTTP1
async def test_stream__surplus_that_looks_like_a_response__never_answers_the_next_request(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    forged = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
    upstream.put("/small", b"right")
    upstream.fault("/small", Fault(surplus=forged))
    for _ in range(20):
        assert await read(manager, source_of(upstream), f"{upstream.url}/small") == b"right"


async def test_stream__nobody_listens__unavailable(manager: HttpClientManager) -> None:
    with Upstream() as gone:
        source = source_of(gone)
    with pytest.raises(UpstreamUnavailable):
        await read(manager, source, f"{gone.url}/file")


@HTTP1
async def test_stream__plain_http_where_tls_is_expected__no_request(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    url = upstream.url.replace("http://", "https://")
    source = UpstreamSource(1, "pypi", "test", url)
    with pytest.raises((UpstreamUnavailable, UpstreamTimeout)):
        await read(manager, source, f"{url}/file")
    assert upstream.count("/file") == 0


async def test_stream__slower_than_the_minimum_rate__given_up(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response, "RATE_WINDOW_SECONDS", 0.5)
    upstream.fault("/file", Fault(drip_body_seconds=0.01))
    async with HttpClientManager(min_rate_bytes=5_000) as manager:
        with pytest.raises(UpstreamTimeout):
            await read(manager, source_of(upstream), f"{upstream.url}/file")
        assert manager.stats().active == 0


@pytest.mark.parametrize("fault", [Fault(drip_headers_seconds=0.05), Fault(drip_body_seconds=0.05)])
async def test_fetch__drip__ended_by_the_total_deadline(
    upstream: Upstream, manager: HttpClientManager, fault: Fault
) -> None:
    upstream.fault("/file", fault)
    with pytest.raises(UpstreamTimeout):
        await manager.fetch(
            source_of(upstream), f"{upstream.url}/file", max_bytes=10**6, deadline_seconds=0.5
        )


async def test_fetch__too_large__ended_early(upstream: Upstream, manager: HttpClientManager) -> None:
    source = source_of(upstream)
    for fault in (Fault(), Fault(declared_length=50 * 2**30), Fault(endless=True)):
        upstream.heal()
        upstream.fault("/file", fault)
        with pytest.raises(TooLarge):
            await manager.fetch(source, f"{upstream.url}/file", max_bytes=1000, deadline_seconds=5)


async def test_fetch__cookies__never_sent_back(upstream: Upstream, manager: HttpClientManager) -> None:
    upstream.put("/cookie", Reply(b"{}", headers={"set-cookie": "session=canary; Path=/"}))
    for _ in range(2):
        await read(manager, source_of(upstream), f"{upstream.url}/cookie")
    assert all("cookie" not in request.headers for request in upstream.requests)


async def test_stream__every_request__carries_via_and_asks_for_identity(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    await read(manager, source_of(upstream), f"{upstream.url}/file")
    headers = upstream.requests[0].headers
    assert headers["via"] == "1.1 orchard-0123456789abcdef"
    assert headers["accept-encoding"] == "identity"


async def test_stream__odd_escapes__sent_as_the_index_gave_them(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    path = "/a%2Bb~c%7Ed?sig=x%2Fy%20z"
    upstream.put("/a%2Bb~c%7Ed", BODY)
    assert await read(manager, source_of(upstream), upstream.url + path) == BODY
    assert upstream.requests[0].path == path


# --- where things go ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "secret", "expected"),
    [
        *(
            (each.name, {"username": "reader", "password": "canary"}, "Basic cmVhZGVyOmNhbmFyeQ==")
            for each in PROTOCOLS
        ),
        ("pypi", {"token": "canary"}, "Bearer canary"),
        ("npm", {"token": "canary"}, "Bearer canary"),
        ("maven", {"token": "canary"}, "Bearer canary"),
        ("cargo", {"token": "canary"}, "canary"),
    ],
)
async def test_credentials__own_origin_only__not_to_another_port(
    upstream: Upstream, manager: HttpClientManager, protocol: str, secret: dict[str, str], expected: str
) -> None:
    with upstream.twin() as other:
        other.put("/file", BODY)
        source = msgspec.structs.replace(source_of(upstream, **secret), protocol=protocol)
        upstream.put("/moved", b"")
        upstream.fault("/moved", Fault(redirect=f"{other.url}/file"))
        assert await read(manager, source, f"{upstream.url}/moved") == BODY
        await read(manager, source, f"{other.url}/file")
        await read(manager, source, f"{other.url.replace('://', '://user:canary@')}/file")
        assert upstream.requests[0].headers["authorization"] == expected
        assert other.count() == 3
        for request in other.requests:
            assert "canary" not in str(request) and "authorization" not in request.headers


@pytest.mark.parametrize(
    ("named", "sent"),
    [("{host}:{port}", True), ("{host}", False), ("other.example.com", False), ("{host}:1", False)],
)
async def test_credentials__to_a_host_that_they_were_given_for_too__and_its_port_alone(
    upstream: Upstream, manager: HttpClientManager, named: str, sent: bool
) -> None:
    with upstream.twin() as other:
        other.put("/file", BODY)
        host, _, port = other.url.partition("://")[2].partition(":")
        source = source_of(upstream, token="canary", credential_hosts=(named.format(host=host, port=port),))
        assert await read(manager, source, f"{other.url}/file") == BODY
        assert ("authorization" in other.requests[0].headers) is sent


@pytest.mark.parametrize("own", ["https://a.example.com/", "http://a.example.com/"])
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_credentials__to_a_named_host__over_the_source_s_own_scheme_alone(own: str, scheme: str) -> None:
    hosts = ("files.example.com", "[::1]:8443")
    source = UpstreamSource(id=1, protocol="cargo", name="a", url=own, token="t", credential_hosts=hosts)
    ports = {"https": 443, "http": 80}
    same = own.startswith(f"{scheme}:")
    assert gets_credentials(source, (scheme, "files.example.com", ports[scheme])) is same
    assert gets_credentials(source, (scheme, "::1", 8443)) is same
    assert not gets_credentials(source, (scheme, "files.example.com", 8443))
    assert not gets_credentials(source, (scheme, "xfiles.example.com", ports[scheme]))


async def test_redirects__twenty_followed__more_not(upstream: Upstream, manager: HttpClientManager) -> None:
    for number in range(21):
        upstream.put(f"/{number}", b"")
        upstream.fault(f"/{number}", Fault(redirect=f"{number + 1}" if number < 20 else "file"))
    assert await read(manager, source_of(upstream), f"{upstream.url}/1") == BODY
    with pytest.raises(UpstreamInvalid, match="more than 20 times"):
        await read(manager, source_of(upstream), f"{upstream.url}/0")


async def test_redirects__in_a_circle__ended_at_once(upstream: Upstream, manager: HttpClientManager) -> None:
    upstream.fault("/a", Fault(redirect="/b"))
    upstream.fault("/b", Fault(redirect="/a"))
    with pytest.raises(UpstreamInvalid, match="in a circle"):
        await read(manager, source_of(upstream), f"{upstream.url}/a")
    assert upstream.count() == 2


@pytest.mark.parametrize(
    ("status", "read_as"),
    [
        (200, 200),
        (201, 200),
        (203, 200),
        (299, 200),
        (202, 202),
        (204, 204),
        (205, 205),
        (206, 206),
        (304, 304),
    ],
)
def test_status__success_with_the_whole_body__is_200(status: int, read_as: int) -> None:
    assert response.whole_status(status) == read_as


@pytest.mark.parametrize(
    ("told", "read_as"),
    [
        ("bytes 0-9/10", 200),
        (" Bytes 0-9/10 ", 200),
        ("bytes 0-8/10", 206),
        ("bytes 1-9/10", 206),
        ("bytes 0-9/*", 206),
        ("bytes */10", 206),
        ("", 206),
    ],
)
def test_status__part_that_is_all_there_is__is_200(told: str, read_as: int) -> None:
    assert response.whole_status(206, told) == read_as


@pytest.mark.parametrize(
    ("headers", "read_as"), [({}, 200), ({"range": "bytes=0-"}, 206), ({"Range": "bytes=0-9"}, 206)]
)
async def test_status__part_that_was_asked_for__stays_one(
    manager: HttpClientManager, upstream: Upstream, headers: dict[str, str], read_as: int
) -> None:
    upstream.put("/file", Reply(b"0123456789", status=206, headers={"content-range": "bytes 0-9/10"}))
    async with manager.stream(source_of(upstream), upstream.url + "/file", headers=headers) as got:
        assert got.status == read_as


@pytest.mark.parametrize(
    ("status", "elsewhere", "arrives"),
    [(307, False, True), (308, False, True), (301, False, False), (302, False, False), (307, True, False)],
)
async def test_body__redirected__goes_on_to_the_same_host_alone(
    manager: HttpClientManager, upstream: Upstream, status: int, elsewhere: bool, arrives: bool
) -> None:
    with upstream.twin() as other:
        for each in (upstream, other):
            each.put("/new", b"done")
        location = (other if elsewhere else upstream).url + "/new"
        upstream.put("/old", Reply(b"", status=status, headers={"location": location}))
        url = upstream.url + "/old"
        async with manager.stream(source_of(upstream), url, method="POST", content=b"names") as got:
            assert got.status == (200 if arrives else status)
        assert [seen.body for seen in upstream.seen("/new", "POST")] == ([b"names"] if arrives else [])
        assert not other.requests


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:7f00:1]:{port}/file",
        "http://2130706433:{port}/file",
        "http://0x7f000001:{port}/file",
        "http://017700000001:{port}/file",
        "http://127.1:{port}/file",
        "http://0.0.0.0:{port}/file",
        "http://10.0.0.1/file",
        "http://192.168.1.1/file",
        "http://127.0.0.2:{port}/file",
        "http://[::1]:{port}/file",
        "http://[fd00::1]/file",
        "http://[64:ff9b::7f00:1]/file",
        "http://[fe80::1]/file",
        "http://224.0.0.1/file",
        "http://metadata.internal/file",
        "gopher://127.0.0.1:{port}/file",
    ],
)
async def test_redirect__to_a_private_address__blocked_before_any_connect(
    upstream: Upstream, manager: HttpClientManager, target: str
) -> None:
    upstream.put("/moved", b"")
    upstream.fault("/moved", Fault(redirect=target.format(port=upstream.port)))
    with pytest.raises(UpstreamBlocked):
        await read(manager, source_of(upstream), f"{upstream.url}/moved")
    assert manager.stats().connects == 1
    assert upstream.count("/file") == 0


@HTTP1
async def test_source_of_a_public_host__private_address__blocked(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    source = UpstreamSource(2, "pypi", "public", "http://93.184.215.14/simple/")
    with pytest.raises(UpstreamBlocked):
        await read(manager, source, f"{upstream.url}/file")
    allowed = UpstreamSource(3, "pypi", "private", "http://93.184.215.14/simple/", allow_private=True)
    assert await read(manager, allowed, f"{upstream.url}/file") == BODY


@HTTP1
async def test_name_that_changes_its_address__only_the_first_is_trusted(
    upstream: Upstream, manager: HttpClientManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    answers = ["93.184.215.14"]
    looked_up: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        looked_up.append(host)
        address = answers.pop(0) if answers else "127.0.0.1"
        return [(2, 1, 6, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    source = UpstreamSource(4, "pypi", "rebinding", f"http://rebinding.example.com:{upstream.port}/")
    for _ in range(2):
        with pytest.raises(UpstreamBlocked):
            await read(manager, source, f"{source.url}file")
    assert looked_up == ["rebinding.example.com"] * 2
    assert upstream.count() == 0


@HTTP1
async def test_own_host_at_a_private_address_from_the_start__is_the_operators_word(
    upstream: Upstream, manager: HttpClientManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    source = UpstreamSource(5, "pypi", "company", f"http://packages.example.com:{upstream.port}/")
    assert await read(manager, source, f"{source.url}file") == BODY


@HTTP1
async def test_allowed_hosts__others_are_blocked(upstream: Upstream, manager: HttpClientManager) -> None:
    source = source_of(upstream, allow_private=True, allowed_hosts=("files.example.com",))
    assert await read(manager, source, f"{upstream.url}/file") == BODY
    with pytest.raises(UpstreamBlocked):
        await read(manager, source, f"http://localhost:{upstream.port}/file")


@HTTP1
async def test_source_over_https__never_left_for_http(upstream: Upstream, manager: HttpClientManager) -> None:
    source = UpstreamSource(6, "pypi", "secure", upstream.url.replace("http:", "https:"))
    with pytest.raises(UpstreamBlocked):
        await read(manager, source, f"http://other.example.com:{upstream.port}/file")
    with pytest.raises(
        (UpstreamUnavailable, UpstreamTimeout)
    ):  # its own host is asked by TLS, which this one does not speak
        await read(manager, source, f"{upstream.url}/file")
    assert upstream.count() == 0


async def test_offline__nothing_is_connected(upstream: Upstream) -> None:
    async with HttpClientManager(offline=True) as manager:
        with pytest.raises(Offline):
            await read(manager, source_of(upstream), f"{upstream.url}/file")
        assert manager.stats().connects == 0
    assert upstream.connections == 0


@HTTP1
async def test_proxy__is_used_and_may_be_private(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    upstream.put("http://packages.example.com/file", BODY)  # absolute form: RFC 9112 §3.2.2
    source = UpstreamSource(7, "pypi", "proxied", "http://packages.example.com/simple/")
    async with HttpClientManager(proxy=upstream.url) as manager:
        assert await read(manager, source, "http://packages.example.com/file") == BODY
        with pytest.raises(UpstreamBlocked):
            await read(manager, source, "http://localhost/file")


async def test_ca_file__unreadable__names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="ORCHARD_CA_FILE"):
        await HttpClientManager(ca_file="/nowhere/ca.pem").open()


# --- decoding -------------------------------------------------------------------------------------


def test_decode_body__gzip__unpacked_also_in_members() -> None:
    assert decode_body(gzip.compress(BODY), "gzip", max_bytes=10**6) == BODY
    two = gzip.compress(b"ab") + gzip.compress(b"cd") + b"\0\0"
    assert decode_body(two, "x-gzip", max_bytes=100) == b"abcd"


_PLAIN = b'{"name": "demo"}'
_ZIPPED = gzip.compress(_PLAIN)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (_PLAIN, ""), (_PLAIN, "identity"), (_PLAIN, " , "), (_PLAIN, "aws-chunked"), (_PLAIN, "none"),
        (_PLAIN, "utf-8"), (_PLAIN, "gzip"), (_PLAIN, "x-gzip"), (_PLAIN, "br"), (b"", "gzip"), (b"", "br"),
        (_ZIPPED, "gzip"), (_ZIPPED, "X-GZIP"), (_ZIPPED, "gzip, identity"), (_ZIPPED, "identity,gzip"),
        (_ZIPPED, "aws-chunked, gzip"), (_ZIPPED, ", gzip,"), (_ZIPPED + b"rubbish", "gzip"),
        (gzip.compress(_ZIPPED), "gzip, gzip"), (_ZIPPED, "gzip, gzip"),
        (zlib.compress(_PLAIN), "deflate"), (zlib.compress(_PLAIN)[2:-4], "deflate"),
        (gzip.compress(zlib.compress(_PLAIN)), "deflate, gzip"),
    ],
)  # fmt: skip
def test_decode_body__as_http_clients_read_it(body: bytes, coding: str) -> None:
    assert decode_body(body, coding, max_bytes=10**7) == (_PLAIN if body else b"")


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(BODY)[:-20], "gzip"),
        (gzip.compress(BODY)[:100] + b"broken" + gzip.compress(BODY)[106:], "gzip"),
        (zlib.compress(BODY)[:-20], "deflate"),
        (BODY, "deflate"),
        (BODY, "br"),
        (BODY, "zstd, identity"),
        (gzip.compress(gzip.compress(gzip.compress(BODY))), "gzip, gzip, gzip"),
    ],
)
def test_decode_body__cut_broken_or_hidden__refused(body: bytes, coding: str) -> None:
    with pytest.raises(UpstreamInvalid):
        decode_body(body, coding, max_bytes=10**7)


def test_decode_body__bomb__stops_at_the_bound() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(TooLarge):
        decode_body(bomb, "gzip", max_bytes=1_000_000)
