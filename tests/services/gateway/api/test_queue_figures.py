"""`/api/v1/queues`, its stream of events and the page over them, against a real gateway and queue."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from services.gateway.api.queue_board import MAX_LISTENERS
from shared.queue.jobs import QUEUES, FetchArtifact, FetchIndex
from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess, running_gateway
from tests.support.stores import address_of, own_redis

EVENTS = "/api/v1/queues/events"


class Stream:
    """An open stream of server-sent events, read from the socket."""

    def __init__(self, port: int, **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        lines = [f"GET {EVENTS} HTTP/1.1", f"host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()

    def event(self) -> tuple[str, Any]:
        """The next event's name and data. Raises `EOFError` at the end of the stream."""
        name = ""
        while line := self.file.readline():
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
            elif line.startswith(b"data: "):
                return name, json.loads(line[6:])
        raise EOFError

    def close(self) -> None:
        self.file.close()
        self.socket.close()


async def _enqueue(stores: Stores) -> None:
    for name in ("a", "b"):
        await stores.queue.enqueue(FetchIndex(protocol="pypi", identity=name))
    await stores.queue.enqueue(FetchArtifact(protocol="pypi", project="a", file_id="0", filename="a.whl"))
    await stores.queue.enqueue(FetchIndex(protocol="pypi", identity="c"), defer_seconds=60)


async def test_queues__jobs_wait__tells_depth_rates_and_what_autoscalers_ask_for(
    gateway: GatewayProcess, stores: Stores
) -> None:
    await _enqueue(stores)
    reply = await asyncio.to_thread(gateway.request, "/api/v1/queues")
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    report = json.loads(reply.body)
    assert set(report["queues"]) == set(QUEUES)
    index = report["queues"]["index"]
    assert (index["ready"], index["running"], index["deferred"], index["dead"]) == (2, 0, 1, 0)
    assert index["oldest_age_seconds"] > 0
    assert 0 < index["last_minute"]["enqueued_per_second"] <= 3 / 60
    assert 0 < index["last_five_minutes"]["enqueued_per_second"] < index["last_minute"]["enqueued_per_second"]
    assert report["total"]["ready"] == report["scaling"]["fetcher"]["ready"] == 3
    assert report["scaling"]["extractor"] == {"ready": 0, "oldest_age_seconds": 0.0}
    assert abs(report["at"] - time.time()) < 60


async def test_queues__many_ask_at_once__redis_is_asked_once(gateway: GatewayProcess, stores: Stores) -> None:
    await asyncio.to_thread(gateway.request, "/api/v1/queues")  # its scripts are known from here on
    await asyncio.sleep(1.1)
    before = (await stores.queue_redis.raw.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await asyncio.gather(*(asyncio.to_thread(gateway.request, "/api/v1/queues") for _ in range(20)))
    after = (await stores.queue_redis.raw.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert after - before in (2, 4), "depths and rates, and once more if the burst took longer than a second"


async def test_events__someone_watches__history_then_figures(gateway: GatewayProcess, stores: Stores) -> None:
    await _enqueue(stores)
    first = await asyncio.to_thread(Stream, gateway.port)
    try:
        assert (first.status, first.headers["content-type"]) == (200, "text/event-stream")
        assert await asyncio.to_thread(first.event) == ("history", [])
        name, report = await asyncio.to_thread(first.event)
        assert (name, report["queues"]["index"]["ready"]) == ("figures", 2)
        second = await asyncio.to_thread(Stream, gateway.port)
        name, history = await asyncio.to_thread(second.event)
        assert name == "history"
        assert history[0]["ready"] == [2, 1, 0, 0, 0, 0]
        assert (await asyncio.to_thread(second.event))[0] == "figures", "at once, not at the next sample"
        second.close()
    finally:
        first.close()


async def test_events__as_many_as_are_allowed__one_more_is_told_to_come_back(gateway: GatewayProcess) -> None:
    streams = [await asyncio.to_thread(Stream, gateway.port) for _ in range(MAX_LISTENERS)]
    try:
        for stream in streams:
            assert (await asyncio.to_thread(stream.event))[0] == "history"
        refused = await asyncio.to_thread(gateway.request, EVENTS)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert json.loads(refused.body)["code"] == "too_many_listeners"
        streams.pop().close()
        deadline = time.monotonic() + 10
        while True:  # the gateway hears of a closed connection in its own time
            again = await asyncio.to_thread(Stream, gateway.port)
            streams.append(again)
            if again.status == 200 or time.monotonic() > deadline:
                break
        assert again.status == 200
    finally:
        for stream in streams:
            stream.close()


async def test_events__gateway_stops__streams_end_and_do_not_hold_it_up(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    settings = store_settings | {"ORCHARD_DRAIN_TIMEOUT": "60"}
    with running_gateway(settings, tmp_path) as gateway:
        stream = await asyncio.to_thread(Stream, gateway.port)
        assert await asyncio.to_thread(stream.event) == ("history", [])
        assert await asyncio.to_thread(gateway.stop) == 0, "within stop's 15 s, far below the drain's 60"

        def rest() -> list[str]:
            names = []
            while True:
                try:
                    names.append(stream.event()[0])
                except EOFError:
                    return names

        assert (await asyncio.to_thread(rest))[-1] == "draining"
        stream.close()


async def test_queues__queue_redis_away__503_and_events_say_so_and_recover(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    with own_redis(tmp_path / "queue", "queue") as server:
        address = address_of(server)
        settings = store_settings | {
            "ORCHARD_QUEUE_REDIS_PORT": str(address.port),
            "ORCHARD_QUEUE_REDIS_PASSWORD": address.password,
        }
        with running_gateway(settings, tmp_path) as gateway:
            stream = await asyncio.to_thread(Stream, gateway.port)
            assert (await asyncio.to_thread(stream.event))[0] == "history"
            server.kill()
            while (await asyncio.to_thread(stream.event))[0] != "unavailable":
                pass
            reply = await asyncio.to_thread(gateway.request, "/api/v1/queues")
            assert (reply.status, json.loads(reply.body)["code"]) == (503, "queue_unavailable")
            server.start()
            while (await asyncio.to_thread(stream.event))[0] != "figures":
                pass
            stream.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/ui/queues", "text/html"),
        ("/ui/assets/queues.js", "text/javascript"),
        ("/ui/assets/queues.css", "text/css"),
        ("/ui/assets/uPlot.iife.min.js", "text/javascript"),
        ("/ui/assets/uPlot.min.css", "text/css"),
    ],
)
async def test_page__every_file_of_it__is_served_under_a_strict_policy(
    gateway: GatewayProcess, path: str, kind: str
) -> None:
    reply = await asyncio.to_thread(gateway.request, path)
    assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, kind)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b"://" not in reply.body or path.startswith("/ui/assets/uPlot"), "nothing from another host"
    if path == "/ui/queues":  # made anew each time: it names its reader
        assert reply.headers["cache-control"] == "no-store"
        return
    again = await asyncio.to_thread(gateway.request, path, if_none_match=reply.headers["etag"])
    assert (again.status, again.body) == (304, b"")


async def test_page_and_figures__reading_needs_a_token__a_browser_is_asked_for_it(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    settings = store_settings | {"ORCHARD_ANONYMOUS_READ": "false", "ORCHARD_ADMIN_TOKEN": "t" * 32}
    basic = "Basic " + base64.b64encode(b"anyone:" + b"t" * 32).decode()
    with running_gateway(settings, tmp_path) as gateway:
        assert (
            await asyncio.to_thread(gateway.request, "/ui/assets/queues.js")
        ).status == 200  # tells nothing
        for path in ("/ui/queues", "/api/v1/queues", EVENTS, "/ui/queues/events"):
            asked = await asyncio.to_thread(gateway.request, path)
            assert (asked.status, asked.headers["www-authenticate"].split()[0]) == (401, "Basic"), path
        for path in ("/ui/queues", "/ui/assets/queues.js", "/api/v1/queues"):
            reply = await asyncio.to_thread(gateway.request, path, authorization=basic)
            assert reply.status == 200, path
        stream = await asyncio.to_thread(Stream, gateway.port, authorization=basic)
        assert (stream.status, (await asyncio.to_thread(stream.event))[0]) == (200, "history")
        stream.close()


@pytest.mark.parametrize("path", ["/ui/assets/__init__.py", "/ui/assets/..%2fapp.py", "/ui/assets/README.md"])
async def test_page__anything_else_beside_it__is_not_served(gateway: GatewayProcess, path: str) -> None:
    assert (await asyncio.to_thread(gateway.request, path)).status in (400, 404)
