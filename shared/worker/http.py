"""The HTTP of a worker process: health, metrics, and whatever bytes it serves to gateways.

Plain aiohttp.web: a relay of live bytes needs aborted responses without a final chunk and real
back-pressure, and nothing else of a framework.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from shared.errors import ConfigurationError
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger()

Ready = Callable[[], Awaitable[str]]
"""Why this worker is not ready, or "" when it is."""


async def always_ready() -> str:
    """For a worker that is ready as soon as it listens."""
    return ""


class WorkerHttp:
    """A small HTTP server in the worker's own event loop."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        advertise: str = "",
        routes: Sequence[web.RouteDef] = (),
        ready: Ready = always_ready,
        stop_timeout_seconds: float = 2.0,
    ) -> None:
        """`port` 0 takes a free one. `advertise` is host[:port] as gateways reach this worker."""
        self._host = host
        self._port = port
        self._advertise = advertise
        self._ready = ready
        self._stop_timeout_seconds = stop_timeout_seconds
        self._runner: web.AppRunner | None = None
        self._bound_port = 0
        self._draining = False
        self.app = web.Application()
        self.app.router.add_routes(
            [
                web.get("/health/live", self._live),
                web.get("/health/ready", self._is_ready),
                web.get("/metrics", _metrics),
                *routes,
            ]
        )

    @property
    def port(self) -> int:
        """The port it listens on; 0 before it is opened."""
        return self._bound_port

    @property
    def address(self) -> str:
        """host:port for other processes. Known once opened."""
        if self._advertise:
            with contextlib.suppress(ValueError):  # a bare IPv6 address ends like a port (RFC 3986 §3.2.2)
                return f"[{ipaddress.IPv6Address(self._advertise)}]:{self._bound_port}"
            has_port = self._advertise.rpartition(":")[2].isdigit() and not self._advertise.endswith("]")
            return self._advertise if has_port else f"{self._advertise}:{self._bound_port}"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._bound_port}"

    async def open(self) -> None:
        """Bind and listen. Raises `ConfigurationError` naming the variable if the port is taken."""
        runner = web.AppRunner(
            self.app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,  # a gateway that went away must not keep a relay alive
            shutdown_timeout=self._stop_timeout_seconds,
            keepalive_timeout=75.0,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=1024).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(
                f"ORCHARD_WORKER_PORT: cannot listen on {self._host}:{self._port} ({error.strerror})"
            ) from error
        self._runner = runner
        self._bound_port = runner.addresses[0][1]

    def start_draining(self) -> None:
        """/health/ready answers 503 from now on; everything else goes on."""
        self._draining = True

    async def aclose(self) -> None:
        """Stop listening, give running responses the bound to end, then break them off."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        try:
            async with asyncio.timeout(self._stop_timeout_seconds + 1.0):
                await runner.cleanup()
        except TimeoutError:
            log.warning("worker_http_stop_timed_out", address=self.address)

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _is_ready(self, _request: web.Request) -> web.Response:
        reason = "draining" if self._draining else await self._ready()
        return web.Response(status=503 if reason else 200, text=f"{reason or 'ok'}\n")

    def __repr__(self) -> str:
        return f"WorkerHttp({self.address}, {'open' if self._runner else 'closed'})"


async def _metrics(_request: web.Request) -> web.Response:
    body, content_type = metrics.render()
    return web.Response(body=body, headers={"content-type": content_type})
