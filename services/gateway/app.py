"""The gateway's application: hot routes as plain ASGI in front of Litestar's router.

A Litestar handler costs 51 µs, a hit from memory 20: package requests never enter the framework.
`create_app` is what granian loads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import msgspec

from services.gateway.api.resolution import PREFIX as ARTIFACTS
from services.gateway.compose import Gateway, open_gateway
from services.gateway.door.access import check_package, client_of
from services.gateway.door.admission import answer_other, refused, turned_away
from services.gateway.door.browsers import check_own_page, is_open, way_in, with_session
from services.gateway.door.budgets import asking
from services.gateway.door.neighbours import READING, check_page_of
from services.gateway.door.sessions import PAGES, granted
from services.gateway.hits.contents import PREFIX as BY_DIGEST
from services.gateway.http.bodies import FORWARDED_BYTES
from services.gateway.http.cors import is_preflight, readable, send_preflight
from services.gateway.http.requests import Key, Target, key_of, read_headers
from services.gateway.http.responses import (
    UNCACHED,
    ClientGone,
    Receive,
    Send,
    Sent,
    send_error,
    send_reply,
    unless_gone,
)
from services.gateway.http.sockets import Peer
from services.gateway.http.stopping import closing, end_when_orphaned
from services.gateway.http.traced import traced
from services.gateway.ledger.entries import Entry, entry_of_refusal, entry_of_reply
from services.gateway.misses.live_source import as_orchard_error
from services.gateway.router import build_litestar
from services.gateway.serving.artifact_flow import serve_artifact
from services.gateway.serving.forward_flow import serve_forward
from services.gateway.serving.index_flow import serve_index
from services.gateway.serving.own_flow import own_reply
from services.gateway.serving.ports import ForwardRequest, Reply
from services.gateway.serving.views import serve_file_in_view
from shared.errors import Blocked, InternalError, MalformedRequest, OrchardError
from shared.errors.passing import ShuttingDown
from shared.process import interpreter
from shared.protocols import PROTOCOLS, load, spoken
from shared.protocols.reading.views import LISTED
from shared.protocols.resource import Redirect, Resource
from shared.redis import clock
from shared.settings import Settings, load_settings
from shared.telemetry import metrics
from shared.telemetry.logs import configure_logging, get_logger
from shared.version import VERSION

log = get_logger()


class Application:
    """The ASGI application. Everything it needs is opened in the lifespan."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.gateway: Gateway | None = None
        self.litestar: Any = build_litestar(self)
        self.in_flight = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.draining:
                send = closing(send)
            try:
                await self._http(scope, receive, send)
            except Exception:  # no answer comes from the server below
                log.exception("request_failed", path=scope["path"][:256])
                with contextlib.suppress(Exception):
                    error = InternalError("an internal error")
                    await send_error(send, error, "-", head=scope["method"] == "HEAD", cache=UNCACHED)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    # --- requests -----------------------------------------------------------------------------------

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        gateway = self.gateway
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode("latin-1", "replace")
        if gateway is None:
            await send_error(send, ShuttingDown("this gateway is not open"), "-", cache=UNCACHED)
            return
        if gateway.edge_words is not None:
            send = gateway.edge_words.put_into(send)
        headers = read_headers(scope)
        if b"via" in headers:
            send = gateway.reader.named(headers, send)
        hosts = gateway.hosts
        if hosts.limited and headers.get(b"host") not in hosts.known:
            host = headers.get(b"host", b"")
            if await turned_away(gateway, scope, raw_path, headers, send, partial(hosts.check, host)):
                return
        peer = scope["client"]  # the connection's, even where a proxy speaks for a client
        if gateway.gate.by_path:
            gateway.gate.by_path.pop(peer, None)
        scope = gateway.proxies.applied(scope, headers)
        method = scope["method"]
        anonymous = gateway.access.anonymous
        shown = headers.get(b"authorization")
        if shown is not None and b" " not in shown:
            shown = headers[b"authorization"] = gateway.reader.with_scheme(raw_path, shown)
        if shown is not None and not anonymous and not gateway.access.has_seen(shown):
            await gateway.grants.learn(shown)
        key = key_of(method, raw_path, scope["query_string"], headers)
        now = clock.now()
        hot = gateway.hot.find(key, headers, now)
        if hot is None:
            if method not in READING:
                public = self.settings.public_url
                check = partial(check_page_of, headers, public)
                if await turned_away(gateway, scope, raw_path, headers, send, check):
                    return
            if not gateway.reader.is_protocol_path(raw_path):
                if raw_path.startswith(PAGES):
                    scope = await with_session(gateway, scope, headers)
                    check = partial(check_own_page, scope, headers)
                    if await turned_away(gateway, scope, raw_path, headers, send, check):
                        return
                may_read = anonymous or is_open(raw_path) or granted(scope) is not None
                if not may_read:
                    elsewhere = way_in(scope, raw_path, headers)
                    if await refused(gateway, scope, raw_path, headers, send, elsewhere):
                        return
                if not (raw_path.startswith(ARTIFACTS) and await self._kept(gateway, scope, raw_path, send)):
                    await answer_other(gateway, self.litestar, scope, raw_path, receive, send)
                return
        if not anonymous and await refused(gateway, scope, raw_path, headers, send, one_package=True):
            return
        bounds = gateway.access.bounds_of(headers.get(b"authorization"))
        if bounds is not None:
            hot = None  # of which package it is has to be read first
        if b"origin" in headers and anonymous:
            if is_preflight(method, headers):
                await send_preflight(send)
                return
            if method in ("GET", "HEAD"):
                send = readable(send)
        request_id = gateway.request_ids.of(headers.get(b"x-request-id"))
        if hot is not None:
            await send(
                {
                    "type": "http.response.start",
                    "status": hot.status,
                    "headers": [*hot.headers_at(now), (b"x-request-id", request_id.encode())],
                }
            )
            about = hot.about
            if hot.path:
                gateway.gate.sends(peer, about.of)
                await send({"type": "http.response.pathsend", "path": hot.path})
            else:
                await send({"type": "http.response.body", "body": hot.body})
            metrics.count_bytes_served(hot.size, live=False)
            gateway.record.answered(
                scope,
                about.logged_path,
                request_id,
                started,
                about.protocol,
                "HIT",
                hot.status,
                hot.size,
            )
            if about.entry is not None and hot.status == 200 and gateway.ledger is not None:
                gateway.ledger.note(scope, headers, about.entry, hot.size, now)
            return
        self.in_flight += 1
        gateway.slow_clients.busy.add(peer)
        asking.set((scope, headers))
        target: Target | None = None
        entry: Entry | None = None
        status, result, size, code = 500, "", 0, ""
        sent = Sent()
        try:
            if raw_path.startswith(BY_DIGEST):
                target = await gateway.contents.read(key, bounds)
            else:
                target = gateway.reader.read(key, headers)
            if bounds is not None:
                check_package(bounds, target)
            reply = await self._reply(gateway, target, scope, key, headers, request_id, receive, peer)
            passage = await gateway.gate.let_out(target.protocol, target.resource, reply)
            result = reply.cache
            if reply.error is not None:
                code = reply.error.code
            size = await send_reply(
                send,
                receive,
                reply,
                request_id,
                head=method == "HEAD",
                protocol=target.protocol,
                sent=sent,
                passage=passage,
                peer=peer,
            )
            status = sent.status
            entry = entry_of_reply(target.protocol, target.resource, reply, status)
        except ClientGone:
            if not sent.status:
                # Nobody listens, or the request's own body is broken, which looks the same from here;
                # unanswered, granian would make it a 500.
                with contextlib.suppress(Exception):
                    await send_error(
                        send, MalformedRequest("the request broke off"), request_id, cache=UNCACHED
                    )
            status, code = 499, "client_gone"
        except asyncio.CancelledError:
            status, code = 499, "client_gone"
            raise
        except Exception as error:
            failure = as_orchard_error(error)
            status, code = sent.status, failure.code
            if status:  # after the head had gone out: broken off
                code = failure.code if failure is error else type(error).__name__
                log.info("transfer_broken", request_id=request_id, reason=str(error), kind=code)
            else:
                if isinstance(failure, InternalError):
                    log.exception("request_failed", request_id=request_id)
                asked = target.resource if target is not None else None
                kind = asked.kind if isinstance(asked, Resource) else ""
                unasked = target is None or isinstance(failure, Blocked)
                status, result = failure.status_of(kind), UNCACHED if unasked else "MISS"
                if target is not None:
                    entry = entry_of_refusal(target.protocol, target.resource, failure, result)
                size = await send_error(
                    send,
                    failure,
                    request_id,
                    head=method == "HEAD",
                    cache=result,
                    protocol=gateway.reader.protocol_at(raw_path),
                    status=status,
                )
        finally:
            self.in_flight -= 1
            gateway.slow_clients.answered(peer, status)
            if self.draining and not self.in_flight:
                self._idle.set()
            name, path = ("other", raw_path) if target is None else (target.protocol.name, target.logged_path)
            gateway.record.answered(
                scope, path, request_id, started, name, result, status, size or sent.size, code
            )
            if entry is not None and method == "GET" and gateway.ledger is not None:
                gateway.ledger.note(scope, headers, entry, size or sent.size, now)

    async def _kept(self, gateway: Gateway, scope: Any, raw_path: bytes, send: Send) -> bool:
        """Answer with a stored resolution; False if the request must go through the router."""
        started = time.perf_counter()
        body = await gateway.warm_resolutions.find(scope, raw_path)
        if body is None:
            return False
        request_id = gateway.request_ids.of(dict(scope["headers"]).get(b"x-request-id"))
        headers = gateway.warm_resolutions.headers(body, request_id)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        gateway.record.answered(scope, raw_path, request_id, started, "api", "HIT", 200, len(body))
        return True

    async def _reply(
        self,
        gateway: Gateway,
        target: Target,
        scope: Any,
        key: Key,
        headers: dict[bytes, bytes],
        request_id: str,
        receive: Receive,
        peer: Peer,
    ) -> Reply:
        resource = target.resource
        if isinstance(resource, Redirect):
            location = resource.location.encode("latin-1")
            return Reply(
                resource.status,
                UNCACHED,
                [(b"location", location), (b"cache-control", b"max-age=3600"), (b"content-length", b"0")],
            )
        conditions = gateway.reader.conditions(target, scope, key[0], headers, request_id)

        async def answer(resource: Resource) -> Reply:
            if resource.kind == "own":
                return own_reply(target.protocol.grammar, resource, conditions)
            if resource.kind == "forward":
                request = ForwardRequest(
                    method=key[0] if key[0] == "POST" else "GET",
                    path=resource.forward_path,
                    accept=headers.get(b"accept", b"").decode("latin-1"),
                    content_type=headers.get(b"content-type", b"").decode("latin-1"),
                    content_encoding=headers.get(b"content-encoding", b"").decode("latin-1"),
                    via=conditions.via,
                )
                serve, head = serve_forward, conditions.head
                if request.method != "POST":
                    return await serve(resource, request, gateway.ports, head=head)
                client = client_of(gateway.access, scope, headers)
                async with gateway.bodies.read(receive, headers, client, FORWARDED_BYTES) as body:
                    request = msgspec.structs.replace(request, body=body)
                    return await serve(resource, request, gateway.ports, head=head)
            gateway.gate.check(target.protocol, resource)
            gateway.askers.note(resource)
            if resource.kind == "index":
                reply = await gateway.memory.page(key, target, resource, conditions, headers)
                flow = serve_index
            else:
                reply = await gateway.memory.file(key, target, resource, conditions)
                flow = serve_file_in_view if resource.view else serve_artifact
            if reply is None:
                reply = await unless_gone(receive, peer, flow(resource, conditions, gateway.ports))
            assert isinstance(reply, Reply)
            return reply

        if not resource.view.startswith(LISTED):
            return await answer(resource)
        who = gateway.access.name_of(headers.get(b"authorization", b""))
        keep = gateway.memory.keeper(key, target, headers)
        with gateway.hot.once_recorded(key):
            return await gateway.listed_views.answer(resource, conditions, who, answer, keep)

    # --- lifespan -----------------------------------------------------------------------------------

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        stack = AsyncExitStack()
        try:
            self.gateway = await stack.enter_async_context(open_gateway(self.settings))
        except OrchardError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        except Exception:
            log.exception("start_failed")
            await send({"type": "lifespan.startup.failed", "message": "the gateway cannot start"})
            return
        await send({"type": "lifespan.startup.complete"})
        log.info("gateway_started", pid=os.getpid())
        # Granian hears SIGINT and SIGTERM alike and then waits for every open response before it tells us:
        # too late for one that never ends by itself. So SIGTERM comes here first.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminated)
        orphaned = asyncio.create_task(end_when_orphaned(os.getppid(), self.settings.drain_timeout))
        await receive()
        await self._drain()
        orphaned.cancel()
        self.gateway = None
        await stack.aclose()
        log.info("gateway_stopped")
        await send({"type": "lifespan.shutdown.complete"})

    def _terminated(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        """Report not ready and close connections after their response; then make granian stop."""
        self.draining = True
        if self.gateway is not None:
            self.gateway.board.close()
        await asyncio.sleep(self.settings.drain_notice)
        os.kill(os.getpid(), signal.SIGINT)

    async def _drain(self) -> None:
        self.draining = True
        if self.in_flight:
            self._idle.clear()
            try:
                async with asyncio.timeout(self.settings.drain_timeout):
                    await self._idle.wait()
            except TimeoutError:
                log.warning("drain_timed_out", in_flight=self.in_flight)


def create_app() -> Any:
    """The application of this process, from its environment."""
    settings = load_settings(protocols=spoken())
    load(lambda protocol: (protocol.grammar, protocol.names, protocol.ahead))
    interpreter.tune()
    metrics.set_build_info("gateway", VERSION)
    metrics.declare_protocols(each.name for each in PROTOCOLS)
    configure_logging("gateway", settings)
    return traced(Application(settings), settings)
