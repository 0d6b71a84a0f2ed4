"""Many clients, several replicas, dying workers: one upstream GET, and every client gets its bytes."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bench.harness.download import download
from tests.support.builders import build_wheel
from tests.support.npm_builders import packument_path, publish, tarball_path
from tests.support.orchard import JSON, Cluster, Service, cluster
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, gateways=2, fetchers=2) as running:
        yield running


def _publish(upstream: Upstream, name: str, size: int) -> tuple[str, bytes]:
    wheel = build_wheel(name, "1.0", size_bytes=size)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel})
    return filename, wheel


async def test_64_cold_clients_of_one_file__one_upstream_get__all_complete(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, 4 * MIB)
    path = orchard.file_path(name, filename)
    upstream.fault(f"/files/{name}/{filename}", Fault(bytes_per_second=MIB))  # 4 s: room for a busy machine
    gateways = orchard.all_of("gateway")
    results = await asyncio.gather(*(download(gateways[n % 2].base + path) for n in range(64)))
    digest = hashlib.sha256(wheel).hexdigest()
    assert {each.sha256 for each in results} == {digest}
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 1
    slowest = max(each.first_byte_seconds for each in results)
    fastest_end = min(each.total_seconds for each in results)
    assert slowest < fastest_end, "a follower waited for the whole file"


async def test_64_cold_clients_of_one_page__one_upstream_request(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name, 4000)
    gateways = orchard.all_of("gateway")
    pages = await asyncio.gather(
        *(download(f"{gateways[n % 2].base}/pypi/simple/{name}/", accept=JSON) for n in range(64))
    )
    assert {each.status for each in pages} == {200}
    assert len({each.sha256 for each in pages}) == 1
    assert upstream.count(f"/simple/{name}/") == 1


async def test_failing_upstream__waiters_share_the_failure(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name, 4000)
    upstream.fault(f"/simple/{name}/", Fault(status=500))
    gateways = orchard.all_of("gateway")
    pages = await asyncio.gather(
        *(download(f"{gateways[n % 2].base}/pypi/simple/{name}/", accept=JSON) for n in range(32))
    )
    assert {each.status for each in pages} == {503}
    assert upstream.count(f"/simple/{name}/") <= 3, "one try and at most two quick retries for all"


async def test_first_client_leaves__others_finish_and_the_file_is_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, 2 * MIB)
    path = orchard.file_path(name, filename)
    upstream.fault(f"/files/{name}/{filename}", Fault(bytes_per_second=2 * MIB))
    leaver = asyncio.create_task(download(orchard.url(path)))
    await asyncio.sleep(0.3)
    stayer = asyncio.create_task(download(orchard.url(path)))
    await asyncio.sleep(0.1)
    leaver.cancel()
    assert (await stayer).sha256 == hashlib.sha256(wheel).hexdigest()
    assert (await download(orchard.url(path))).x_cache == "HIT"
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 1


def _owner(orchard: Cluster, project: str) -> Service:
    """The fetcher whose address stands in the claim of this project's one artifact job."""
    return _owner_of(orchard, f"artifact:pypi:{project}/*")


def _owner_of(orchard: Cluster, jobs: str) -> Service:
    """The fetcher whose address stands in the claim of the one job of this pattern."""
    with orchard.client(orchard.queue) as queue:
        names = list(queue.scan_iter(f"orchard:claim:{jobs}"))
        assert len(names) == 1, names
        claim = queue.get(names[0])
    owners = [each for each in orchard.all_of("fetcher") if f":{each.port}" in str(claim)]
    assert len(owners) == 1, claim
    return owners[0]


@pytest.mark.slow
async def test_fetcher_killed_at_half__same_connection_gets_all_bytes(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, 64 * MIB)
    path = orchard.file_path(name, filename)
    upstream.fault(f"/files/{name}/{filename}", Fault(bytes_per_second=16 * MIB))
    silence = _Silence()
    task = asyncio.create_task(asyncio.to_thread(_read_all, orchard.gateway.port, path, silence))
    await asyncio.sleep(2.0)
    victim = await asyncio.to_thread(_owner, orchard, name)
    victim.kill()
    try:
        body, ended_well = await task
    finally:
        await asyncio.to_thread(orchard.start, "fetcher")
    assert ended_well
    assert hashlib.sha256(body).hexdigest() == hashlib.sha256(wheel).hexdigest()
    assert silence.longest <= 8.0, f"{silence.longest:.1f} s without a byte"


@pytest.mark.slow
async def test_fetcher_killed__upstream_sends_other_bytes_now__broken_off_without_final_chunk(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, 16 * MIB)
    path = orchard.file_path(name, filename)
    upstream.fault(f"/files/{name}/{filename}", Fault(bytes_per_second=8 * MIB))
    task = asyncio.create_task(asyncio.to_thread(_read_all, orchard.gateway.port, path, _Silence()))
    await asyncio.sleep(1.0)
    victim = await asyncio.to_thread(_owner, orchard, name)
    other = bytearray(wheel)
    other[1000] ^= 0xFF
    upstream.put(f"/files/{name}/{filename}", bytes(other))
    victim.kill()
    try:
        body, ended_well = await task
    finally:
        await asyncio.to_thread(orchard.start, "fetcher")
    assert not ended_well
    assert len(body) < len(wheel)


@pytest.mark.slow
async def test_npm__owner_of_packument_and_then_of_tarball_killed__thirty_clients_one_request_more(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, size_bytes=4 * MIB)["1.0.0"]
    faults = {
        f"/npm/{name}": (packument_path(name), f"index:npm:packument/{name}", Fault(delay_seconds=1.5)),
        f"/npm/{name}/-/{name}-1.0.0.tgz": (
            tarball_path(name, "1.0.0"),
            f"artifact:npm:{name}/*",
            Fault(bytes_per_second=2 * MIB),
        ),
    }
    for path, (theirs, jobs, fault) in faults.items():
        upstream.fault(theirs, fault)
        gateways = orchard.all_of("gateway")
        asked = [asyncio.create_task(download(gateways[n % 2].base + path)) for n in range(30)]
        async with asyncio.timeout(30):
            while not upstream.count(theirs):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        victim = await asyncio.to_thread(_owner_of, orchard, jobs)
        victim.kill()
        try:
            answers = await asyncio.gather(*asked)
        finally:
            await asyncio.to_thread(orchard.start, "fetcher")
        assert {each.status for each in answers} == {200}
        assert upstream.count(theirs) == 2
        # A packument's links are each gateway's own.
        assert len({each.sha256 for each in answers}) == (2 if jobs.startswith("index") else 1)
    assert answers[0].sha256 == hashlib.sha256(data).hexdigest()


class _Silence:
    """The longest pause between two reads."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.monotonic()

    def heard(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now


def _read_all(port: int, path: str, silence: _Silence) -> tuple[bytes, bool]:
    """A GET on a raw socket: the body and whether HTTP's framing says that it is complete."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        data = bytearray()
        while True:
            try:
                block = connection.recv(1 << 18)
            except ConnectionResetError:
                break
            if not block:
                break
            silence.heard()
            data += block
    head, _, rest = bytes(data).partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n", 1)[0], head
    if b"transfer-encoding: chunked" not in head.lower():
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return rest, len(rest) == length
    body = bytearray()
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            return bytes(body), True
        body += rest[:size]
        rest = rest[size + 2 :]
    return bytes(body), False


@pytest.mark.slow
async def test_fetcher_frozen_and_thawed__late_results_lose(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = _publish(upstream, name, 8 * MIB)
    path = orchard.file_path(name, filename)
    upstream.fault(f"/files/{name}/{filename}", Fault(bytes_per_second=4 * MIB))
    task = asyncio.create_task(download(orchard.url(path)))
    await asyncio.sleep(0.8)
    victim = await asyncio.to_thread(_owner, orchard, name)
    victim.signal(signal.SIGSTOP)
    thaw = threading.Timer(6.0, lambda: victim.signal(signal.SIGCONT))
    thaw.start()
    try:
        result = await task
    finally:
        thaw.join()
    assert result.sha256 == hashlib.sha256(wheel).hexdigest()
    assert (await download(orchard.url(path))).sha256 == result.sha256
