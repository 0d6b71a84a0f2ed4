"""Every way to a file, or to its refusal, and what the ledger says of it × protocols."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from shared.protocols import protocol_named
from tests.gates.conftest import Blocking, Offering, wait_until
from tests.gates.shops import SHOPS, Offer, spoil
from tests.support.gateway import raw_request
from tests.support.orchard import Cluster
from tests.support.upstream import Fault, Upstream

Show = Callable[..., None]
AGENT = "pip/24.0 {}"
RESULTS = ("served", "partial", "redirected", "refused")

ROWS = """
SELECT s.result, s.cache, s.code, s.times, s.size_bytes, extract(epoch FROM s.at)::float8 AS at,
       c.address, c.token, c.tool, c.version AS tool_version,
       f.protocol, f.project, f.version, f.filename, encode(f.sha256, 'hex') AS sha256
FROM servings s JOIN serving_files f ON f.id = s.file_id JOIN serving_clients c ON c.id = s.client_id
WHERE f.protocol = $1 AND f.project = $2 ORDER BY s.at
"""


def ledger(orchard: Cluster, offer: Offer) -> list[dict[str, Any]]:
    """The servings of a package, oldest first."""

    async def read() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(orchard.database_url)
        try:
            return [dict(row) for row in await connection.fetch(ROWS, offer.protocol, offer.name)]
        finally:
            await connection.close()

    return asyncio.run(read())


def canonical(offer: Offer) -> str:
    return protocol_named(offer.protocol).names.canonical_version(offer.version)


def until_kept(orchard: Cluster, marker: Offer, ask: Callable[[Offer], object]) -> None:
    """Return once the ledger has what was asked for before: batches are kept in order."""
    ask(marker)
    wait_until(lambda: ledger(orchard, marker), what="the ledger")


# way: method, headers, what the ledger says (None: no serving)
WAYS: dict[str, tuple[str, dict[str, str], str | None]] = {
    "whole": ("GET", {}, "served"),
    "range": ("GET", {"range": "bytes=5-104"}, "partial"),
    "range-of-all": ("GET", {"range": "bytes=0-"}, "partial"),
    "range-beyond": ("GET", {"range": "bytes=99999999-"}, None),
    "head": ("HEAD", {}, None),
    "not-modified": ("GET", {"if-none-match": "*"}, None),
}


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("heat", ["stored", "hot"])
@pytest.mark.parametrize("size_bytes", [20_000, 300_000])  # sent from memory, and by its path
def test_stored_file__is_a_serving_when_its_bytes_go_out(
    orchard: Cluster, offer: Offering, show: Show, protocol: str, heat: str, size_bytes: int
) -> None:
    wanted, port = offer(protocol, size_bytes=size_bytes), orchard.gateway.port
    assert raw_request(port, wanted.path, timeout=60).complete
    for _ in range(3 if heat == "hot" else 0):
        raw_request(port, wanted.path)
    answers = {
        way: raw_request(port, wanted.path, method, {**headers, "user-agent": f"{way}/24.0 {{}}"})
        for way, (method, headers, _) in WAYS.items()
    }
    until_kept(orchard, offer(protocol, size_bytes=1000), lambda each: raw_request(port, each.path))
    rows = ledger(orchard, wanted)
    assert sum(row["times"] for row in rows if not row["tool"]) == (4 if heat == "hot" else 1)
    for way, (_, _, result) in WAYS.items():
        answer = answers[way]
        show(protocol, f"{heat} {size_bytes} B", way, f"{answer.status} {result or 'no serving'}")
        found = [row for row in rows if row["tool"] == way]
        assert len(found) == (result is not None), way
        for row in found:
            assert (RESULTS[row["result"]], row["cache"]) == (result, answer.headers["x-cache"]), way
            assert row["size_bytes"] == len(answer.body) > 0, way
            assert (row["code"], row["times"], row["sha256"]) == ("", 1, wanted.sha256)
            assert row["version"] == canonical(wanted)
            assert row["filename"] == wanted.path.split("/")[-1] or protocol == "cargo"
            assert (row["address"], row["token"], row["tool_version"]) == ("127.0.0.1", "", "24.0")


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("way", ["whole", "range", "wrong", "left"])
def test_cold_file__is_a_serving_once_its_last_byte_is_out(
    orchard: Cluster, upstream: Upstream, offer: Offering, show: Show, protocol: str, way: str
) -> None:
    wanted, port = offer(protocol), orchard.gateway.port
    upstream.fault(wanted.upstream_path, Fault(bytes_per_second=2_000_000))
    if way == "wrong":
        spoil(upstream, wanted)
    if way == "left":
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(f"GET {wanted.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        expected = None
    else:
        headers = {"range": "bytes=100-50099"} if way == "range" else {}
        headers["x-forwarded-for"] = "192.0.2.7"
        answer = raw_request(port, wanted.path, headers=headers, timeout=60)
        expected = {"whole": "served", "range": "partial"}.get(way)
        assert answer.complete == (expected is not None)
    until_kept(orchard, offer(protocol, size_bytes=1000), lambda each: raw_request(port, each.path))
    rows = ledger(orchard, wanted)
    show(protocol, "cold", way, expected or "no serving")
    assert len(rows) == (expected is not None)
    for row in rows:
        assert (RESULTS[row["result"]], row["cache"]) == (expected, answer.headers["x-cache"])
        assert (row["sha256"], row["size_bytes"]) == (wanted.sha256, len(answer.body))
        assert row["address"] == "192.0.2.7"


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("what", ["name", "version", "sha256"])
@pytest.mark.parametrize("heat", ["cold", "stored"])
def test_refused_file__is_in_the_ledger_with_its_rule(
    orchard: Cluster, offer: Offering, block: Blocking, protocol: str, what: str, heat: str
) -> None:
    wanted, port = offer(protocol), orchard.gateway.port
    if heat == "stored":
        assert raw_request(port, wanted.path, timeout=60).complete
    named = {"protocol": protocol, "name": wanted.name}
    values = {
        "name": named,
        "version": {**named, "version": wanted.version},
        "sha256": {"sha256": wanted.sha256},
    }
    block(**values[what])
    answer = raw_request(port, wanted.path, headers={"user-agent": AGENT}, timeout=60)
    raw_request(port, wanted.path, "HEAD", timeout=60)
    until_kept(orchard, offer(protocol, size_bytes=1000), lambda each: raw_request(port, each.path))
    found = [row for row in ledger(orchard, wanted) if row["result"] == RESULTS.index("refused")]
    if answer.status != 403:  # bytes that nobody promised are known at their end: broken off, and nobody's
        assert not answer.complete and found == []
        return
    (row,) = found
    assert (row["code"], row["times"], row["tool"]) == ("blocked", 1, "pip")
    assert (row["version"], row["project"]) == (canonical(wanted), wanted.name)


@pytest.mark.parametrize("protocol", SHOPS)
def test_what_only_tells_of_a_file__is_no_serving(orchard: Cluster, offer: Offering, protocol: str) -> None:
    """Pages, checksums, core metadata: who asked for these does not have the package. A POM is a file."""
    wanted, port = offer(protocol), orchard.gateway.port
    assert raw_request(port, wanted.path, timeout=60).complete
    beside = [path for path in wanted.beside if not path.endswith(".pom")]
    answers = [raw_request(port, path, headers={"user-agent": AGENT}, timeout=60) for path in beside * 3]
    assert [answer.status for answer in answers].count(200) >= 3
    until_kept(orchard, offer(protocol, size_bytes=1000), lambda each: raw_request(port, each.path))
    assert [row["tool"] for row in ledger(orchard, wanted)] == [""]


@pytest.mark.parametrize("protocol", SHOPS)
def test_refused_page__is_in_the_ledger(
    orchard: Cluster, offer: Offering, block: Blocking, protocol: str
) -> None:
    wanted, port = offer(protocol), orchard.gateway.port
    block(protocol=protocol, name=wanted.name)
    page = next(path for path in wanted.beside if raw_request(port, path, timeout=60).status == 403)
    until_kept(orchard, offer(protocol, size_bytes=1000), lambda each: raw_request(port, each.path))
    rows = ledger(orchard, wanted)
    assert rows and {(RESULTS[row["result"]], row["code"]) for row in rows} == {("refused", "blocked")}, page
