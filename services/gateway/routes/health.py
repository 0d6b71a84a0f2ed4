"""Health and metrics."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get

from shared import metrics
from shared.errors import InvalidParameter, QueueUnavailable
from shared.health import check_health
from shared.identity import PATH, is_nonce, proof
from shared.version import VERSION

if TYPE_CHECKING:
    from services.gateway.composition import Gateway

NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def _gateway(request: Request[Any, Any, Any]) -> Gateway | None:
    gateway: Gateway | None = request.app.state.application.gateway
    return gateway


@get("/health", summary="The state of stores, pools, queues and workers")
async def health(request: Request[Any, Any, Any]) -> Response[bytes]:
    """200 while anything can be served, 503 when neither cache nor database answers."""
    gateway = _gateway(request)
    if gateway is None:
        return Response(b'{"status":"down"}', status_code=503, media_type="application/json")
    report = await check_health(
        version=VERSION,
        database=gateway.database,
        cache=gateway.cache_redis,
        queue_redis=gateway.queue_redis,
        queue=gateway.queue,
    )
    return Response(
        msgspec.json.encode(report),
        status_code=503 if report.status == "down" else 200,
        media_type="application/json",
        headers=NO_STORE,
    )


@get("/health/live", media_type="text/plain", summary="The process runs")
async def live() -> Response[str]:
    """Always 200: it asks nothing of anyone."""
    return Response("ok\n", media_type="text/plain", headers=NO_STORE)


@get("/health/ready", media_type="text/plain", summary="Requests may be sent here")
async def ready(request: Request[Any, Any, Any]) -> Response[str]:
    """503 while starting and stopping. Stores may be away: hits go on without them."""
    application = request.app.state.application
    is_ready = application.gateway is not None and not application.draining
    text = "ok\n" if is_ready else "draining\n"
    return Response(text, status_code=200 if is_ready else 503, media_type="text/plain", headers=NO_STORE)


@get(PATH, summary="A proof that this is the Orchard of a data folder")
async def identity(request: Request[Any, Any, Any], nonce: str = "") -> Response[bytes]:
    """`proof` is "" where the operator's token is none that Orchard made (shared/identity.py)."""
    if not is_nonce(nonce):
        raise InvalidParameter("nonce: expected 32 hexadecimal digits in lower case")
    settings = request.app.state.application.settings
    body = msgspec.json.encode({"proof": proof(settings.admin_token, settings.port, nonce)})
    return Response(body, media_type="application/json", headers=NO_STORE)


@get("/metrics", summary="Prometheus metrics")
async def metrics_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """All metrics of this process."""
    application = request.app.state.application
    metrics.HTTP_IN_FLIGHT.set(application.in_flight)
    if application.gateway is not None:
        application.gateway.l1.count()
        with contextlib.suppress(QueueUnavailable):  # the queue's figures stay as they were
            metrics.set_queue_depths(await application.gateway.queue.depths())
    body, content_type = metrics.render()
    return Response(body, headers={**NO_STORE, "content-type": content_type})
