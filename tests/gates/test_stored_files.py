"""Ways to a file that is stored, and to what tells of it × what is wrong × protocols."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.gates.conftest import Blocking, Offering
from tests.gates.shops import SHOPS, Offer
from tests.support.gateway import raw_request, read_response
from tests.support.orchard import Cluster, free_port, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream

Show = Callable[..., None]
BLOCKS = ["name", "version", "sha256"]


def block_of(offer: Offer, what: str) -> dict[str, str]:
    if what == "sha256":
        return {"sha256": offer.sha256}
    named = {"protocol": offer.protocol, "name": offer.name}
    return named | ({"version": offer.version} if what == "version" else {})


STORED_WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "whole": ("GET", {}),
    "HEAD": ("HEAD", {}),
    "range 0-": ("GET", {"range": "bytes=0-"}),
    "range 5-9": ("GET", {"range": "bytes=5-9"}),
    "several ranges": ("GET", {"range": "bytes=0-1,5-9"}),
    "if-none-match": ("GET", {"if-none-match": '"other"'}),
}


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("what", BLOCKS)
def test_stored__every_way_is_refused_after_a_block(
    orchard: Cluster, offer: Offering, block: Blocking, show: Show, protocol: str, what: str
) -> None:
    wanted = offer(protocol, size_bytes=100_000)
    port = orchard.gateway.port
    for _ in range(3):  # as hot as it gets
        for method, headers in STORED_WAYS.values():
            assert raw_request(port, wanted.path, method, headers).status in (200, 206)
        beside = [path for path in wanted.beside if raw_request(port, path).status == 200]
    block(**block_of(wanted, what))
    for way, (method, headers) in STORED_WAYS.items():
        answer = raw_request(port, wanted.path, method, headers)
        show(protocol, f"{what} blocked", f"stored: {way}", f"{answer.status} {answer.headers['x-cache']}")
        assert answer.status == 403, way
    for path in beside:
        answer = raw_request(port, path)
        kind = path.removeprefix(wanted.path) if path.startswith(wanted.path) else path.rpartition("/")[2]
        show(protocol, f"{what} blocked", f"stored: beside: {kind or 'index'}", str(answer.status))
        assert answer.status == 403 or wanted.sha256.encode() not in answer.body


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("what", BLOCKS)
@pytest.mark.parametrize("way", ["stored", "stored, hot", "stored, hot, by a proxy", "stored, range", "live"])
def test_block_made_during_a_transfer__breaks_it_off(
    orchard: Cluster,
    upstream: Upstream,
    offer: Offering,
    block: Blocking,
    show: Show,
    protocol: str,
    what: str,
    way: str,
) -> None:
    wanted = offer(protocol, size_bytes=20_000_000)
    port, headers = orchard.gateway.port, ""
    if way == "live":
        upstream.fault(wanted.upstream_path, Fault(bytes_per_second=2_000_000))
    else:
        for _ in range(3 if "hot" in way else 1):
            assert raw_request(port, wanted.path).complete
        headers = "Range: bytes=1-\r\n" if way == "stored, range" else ""
        headers = "X-Forwarded-For: 192.0.2.7\r\n" if "proxy" in way else headers
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(("127.0.0.1", port))
        client.settimeout(20)
        client.sendall(f"GET {wanted.path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        begun = client.recv(1000, socket.MSG_PEEK)
        assert begun.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206"))
        block(**block_of(wanted, what))
        answer = read_response(client)
    if what == "sha256" and way == "live" and protocol != "pypi":
        # Whose bytes these are is known at the end only: nothing but the end is held back.
        assert not answer.complete
    else:
        assert not answer.complete and len(answer.body) < len(wanted.data) - 1_000_000
    share = len(answer.body) * 100 // len(wanted.data)
    show(protocol, f"{what} blocked meanwhile", way, f"{answer.status} cut at {share} %")
    after = raw_request(port, wanted.path, timeout=60)
    assert after.status == 403 or not after.complete


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("size_bytes", [20_000, 300_000])
def test_object_that_cannot_be_opened__is_fetched_again__never_the_servers_own_answer(
    orchard: Cluster, offer: Offering, show: Show, protocol: str, size_bytes: int
) -> None:
    """A loop of links stands for what a restore, a mount or a disk can do: opening it fails with ELOOP,
    for root too. The server below would say 404."""
    wanted = offer(protocol, size_bytes=size_bytes)
    port = orchard.gateway.port
    for _ in range(3):
        assert raw_request(port, wanted.path).complete
    folder = orchard.folder / "data" / "objects" / "artifacts" / wanted.sha256[:2]
    target = folder / wanted.sha256
    for way in ("whole", "range 0-", "range 5-9", "several ranges"):
        target.unlink()
        target.symlink_to(target)
        method, headers = STORED_WAYS[way]
        answer = raw_request(port, wanted.path, method, headers)
        words = f"{answer.status} {answer.headers.get('x-cache')}"
        show(protocol, f"unopenable {size_bytes} B", f"stored: {way}", words)
        assert answer.complete and answer.status in (200, 206) and answer.headers["x-cache"]
        whole = raw_request(port, wanted.path)
        assert whole.complete and whole.body == wanted.data


def test_no_descriptor_left_for_more_clients__those_that_are_answered_are_answered_right(
    orchard: Cluster, offer: Offering, show: Show
) -> None:
    """A hard limit of 1,024 and 990 connections that say nothing: what is accepted has its descriptors."""
    wanted = offer("pypi", size_bytes=300_000)
    environment = orchard.environment() | {"ORCHARD_PORT": str(free_port())}
    log = orchard.folder / "few.log"
    with log.open("wb") as output:
        few = subprocess.Popen(
            ["bash", "-c", f"ulimit -n 1024; exec {sys.executable} -m services.gateway"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    port = int(environment["ORCHARD_PORT"])
    idle: list[socket.socket] = []

    def answered() -> bool:
        try:
            return raw_request(port, wanted.path).complete
        except OSError:
            return False

    try:
        wait_until(answered, seconds=30, what="the file")
        idle = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(990)]
        answers = [raw_request(port, wanted.path, timeout=60) for _ in range(3)]
        found = {(answer.status, answer.complete) for answer in answers}
        show("pypi", "990 idle connections", "stored: whole, 1,024 descriptors", str(found))
        assert found == {(200, True)}
        assert "few_descriptors" in log.read_text()
    finally:
        for each in idle:
            each.close()
        few.terminate()
        few.wait(15)
