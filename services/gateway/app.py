"""The gateway's application: hot routes as plain ASGI in front of Litestar's router.

A Litestar handler costs 51 µs, a hit from memory 20: package requests never enter the framework.
`create_app` is what granian loads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import msgspec

from services.gateway.access import OPEN_PATHS
from services.gateway.adapters import artifact_identity
from services.gateway.addresses import address_of
from services.gateway.admission import answer_other, refused, turned_away
from services.gateway.bodies import FORWARDED_BYTES
from services.gateway.budgets import asking
from services.gateway.clients import client_of
from services.gateway.composition import Gateway, open_gateway
from services.gateway.cors import is_preflight, readable, send_preflight
from services.gateway.hot import HotFile, Key
from services.gateway.live_source import TransferBroken
from services.gateway.neighbours import READING, check_page_of
from services.gateway.requests import Target, read_headers
from services.gateway.responses import (
    UNCACHED,
    ClientGone,
    Receive,
    Send,
    Sent,
    send_error,
    send_reply,
    unless_gone,
)
from services.gateway.routes import build_litestar
from services.gateway.stopping import closing, end_when_orphaned
from services.gateway.warm_resolutions import PREFIX as ARTIFACTS
from shared import clock, metrics
from shared.errors import InternalError, MalformedRequest, OrchardError, ShuttingDown
from shared.logs import configure_logging, get_logger
from shared.protocols.base import Redirect, Resource
from shared.protocols.flows import serve_sealed, served_now, variant_name
from shared.protocols.ports import ForwardRequest, Reply
from shared.settings import Settings, load_settings
from shared.version import VERSION

log = get_logger()

SWITCH_SECONDS = 0.0005


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
        headers = read_headers(scope)
        hosts = gateway.hosts
        if hosts.limited and headers.get(b"host") not in hosts.known:
            host = headers.get(b"host", b"")
            if await turned_away(gateway, scope, raw_path, headers, send, partial(hosts.check, host)):
                return
        peer = scope["client"]  # of the connection, whomever a proxy speaks for
        if gateway.gate.by_path:
            gateway.gate.by_path.pop(peer, None)
        scope = gateway.proxies.applied(scope, headers)
        if scope["method"] not in READING:
            public = self.settings.public_url
            check = partial(check_page_of, headers, public)
            if await turned_away(gateway, scope, raw_path, headers, send, check):
                return
        if not gateway.reader.is_protocol_path(raw_path):
            is_open = gateway.access.anonymous or raw_path in OPEN_PATHS
            if not is_open and await refused(gateway, scope, raw_path, headers, send):
                return
            if not (raw_path.startswith(ARTIFACTS) and await self._kept(gateway, scope, raw_path, send)):
                await answer_other(gateway, self.litestar, scope, raw_path, receive, send)
            return
        if not gateway.access.anonymous and await refused(gateway, scope, raw_path, headers, send):
            return
        method = scope["method"]
        if b"origin" in headers and gateway.access.anonymous:
            if is_preflight(method, headers):
                await send_preflight(send)
                return
            if method in ("GET", "HEAD"):
                send = readable(send)
        request_id = gateway.request_ids.of(headers.get(b"x-request-id"))
        key = (
            method,
            raw_path,
            scope["query_string"],
            headers.get(b"accept"),
            headers.get(b"accept-encoding"),
        )
        now = clock.now()
        page = gateway.hot.find(key, headers, now)
        if page is not None:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [*page.headers_at(int(now)), (b"x-request-id", request_id.encode())],
                }
            )
            if page.path:
                assert isinstance(page, HotFile)
                gateway.gate.sends(peer, page.of)
                await send({"type": "http.response.pathsend", "path": page.path})
            else:
                await send({"type": "http.response.body", "body": page.body})
            seconds = time.perf_counter() - started
            metrics.observe_request(page.protocol, "HIT", 200, seconds, page.size)
            metrics.count_bytes_served(page.size, live=False)
            if gateway.access_log is not None:
                gateway.access_log.write(
                    method, page.logged_path, 200, "HIT", page.size, seconds, request_id, address_of(scope)
                )
            return
        self.in_flight += 1
        gateway.slow_clients.busy.add(peer)
        asking.set((scope, headers))
        target: Target | None = None
        status, result, size, code = 500, "", 0, ""
        sent = Sent()
        try:
            target = gateway.reader.read(key, headers)
            reply = await self._reply(gateway, target, scope, key, headers, request_id, receive)
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
            failure = told_as(error)
            status, code = sent.status, failure.code
            if status:  # after the head had gone out: broken off
                code = failure.code if failure is error else type(error).__name__
                log.info("transfer_broken", request_id=request_id, reason=str(error), kind=code)
            else:
                if isinstance(failure, InternalError):
                    log.exception("request_failed", request_id=request_id)
                asked = target.resource if target is not None else None
                kind = asked.kind if isinstance(asked, Resource) else ""
                status, result = failure.status_of(kind), "MISS" if target is not None else UNCACHED
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
            gateway.slow_clients.busy.discard(peer)
            if self.draining and not self.in_flight:
                self._idle.set()
            seconds = time.perf_counter() - started
            name = target.protocol.name if target is not None else "other"
            metrics.observe_request(name, result, status, seconds, size or sent.size)
            if gateway.access_log is not None:
                gateway.access_log.write(
                    method, target.logged_path if target is not None else gateway.escape(raw_path),
                    status, result, size or sent.size, seconds, request_id, address_of(scope), code,
                )  # fmt: skip

    async def _kept(self, gateway: Gateway, scope: Any, raw_path: bytes, send: Send) -> bool:
        """Answer with a kept resolution; False when the general way must."""
        started = time.perf_counter()
        body = await gateway.warm_resolutions.find(scope, raw_path)
        if body is None:
            return False
        request_id = gateway.request_ids.of(dict(scope["headers"]).get(b"x-request-id"))
        headers = gateway.warm_resolutions.headers(body, request_id)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        seconds = time.perf_counter() - started
        metrics.observe_request("api", "HIT", 200, seconds)
        if gateway.access_log is not None:
            gateway.access_log.write(
                "GET", gateway.escape(raw_path), 200, "HIT", len(body), seconds, request_id, address_of(scope)
            )
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
        if resource.kind == "forward":
            request = ForwardRequest(
                method=key[0] if key[0] == "POST" else "GET",
                path=resource.forward_path,
                accept=headers.get(b"accept", b"").decode("latin-1"),
                content_type=headers.get(b"content-type", b"").decode("latin-1"),
                content_encoding=headers.get(b"content-encoding", b"").decode("latin-1"),
                via=conditions.via,
            )
            serve, head = target.protocol.serve_forward, conditions.head
            if request.method != "POST":
                return await serve(resource, request, gateway.ports, head=head)
            client = client_of(gateway.access, scope, headers)
            async with gateway.bodies.read(receive, headers, client, FORWARDED_BYTES) as body:
                request = msgspec.structs.replace(request, body=body)
                return await serve(resource, request, gateway.ports, head=head)
        blocks = gateway.access_watcher.blocks
        if blocks.any:
            blocks.check(resource.protocol, resource.project, target.protocol.version_asked(resource))
            blocks.check_digest(resource.file_id)
        if resource.kind == "index":
            variant = target.variant or variant_name(resource, conditions)
            entry = gateway.cache.peek_index(resource.protocol, resource.identity, variant)
            as_blocked = blocks.of(resource.protocol, resource.project).stamp
            if entry is not None and entry.head is not None and entry.head.blocks == as_blocked:
                now, limit = clock.now(), self.settings.stale_limit
                reply = served_now(resource, conditions, variant, entry, now=now, stale_limit=limit)
                if reply is not None:
                    if not conditions.head:
                        by = resource.per_base_url
                        host = headers.get(b"host", b"") if by else None
                        scheme = headers.get(b"x-forwarded-proto") if by else None
                        gateway.hot.keep(
                            key, resource, variant, entry, reply, target.logged_path, host=host, scheme=scheme
                        )
                    return reply
            work = target.protocol.serve_index(resource, conditions, gateway.ports)
        else:
            identity = artifact_identity(resource)
            facts = gateway.cache.peek_facts(resource.protocol, identity)
            if facts is not None:
                blocks.check_digest(facts.sha256)
                reply = await serve_sealed(resource, conditions, facts, gateway.ports.objects)
                if reply is not None:
                    # A block that came meanwhile has emptied the hot pages: this must not come back to them.
                    if not conditions.head and gateway.access_watcher.blocks is blocks:
                        there = gateway.objects.watch(facts.object_key, facts.size_bytes)
                        of = gateway.gate.pass_of(target.protocol, resource, reply)
                        gateway.hot.keep_file(key, resource, identity, reply, target.logged_path, there, of)
                    return reply
            work = target.protocol.serve_artifact(resource, conditions, gateway.ports)
        reply = await unless_gone(receive, work)
        assert isinstance(reply, Reply)
        return reply

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
        """Be not ready and close connections after their response; then have granian stop."""
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


def told_as(error: Exception) -> OrchardError:
    """What a client is told of a failure before the first byte of its answer."""
    if isinstance(error, OrchardError):
        return error
    return error.cause if isinstance(error, TransferBroken) else InternalError("an internal error")


def create_app() -> Application:
    """The application of this process, from its environment."""
    settings = load_settings()
    # A thread that reads what clients sent gives the interpreter back after this, or hits wait 5 ms each.
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics.set_build_info("gateway", VERSION)
    configure_logging("gateway", settings)
    return Application(settings)
