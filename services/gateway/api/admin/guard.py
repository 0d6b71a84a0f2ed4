"""The guard of the admin API: an admin token, and no cross-site request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Request, Router
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler

from services.gateway.api.admin.event_rows import EventRepository
from services.gateway.api.admin.feeds import FeedRepository
from services.gateway.api.admin.kept_answers import KeptAnswers
from services.gateway.api.admin.repository import Actor, AdminRepository
from services.gateway.api.admin.serving_rows import ServingRows
from services.gateway.api.admin.still_told import StillTold
from services.gateway.api.admin.webhook_rows import WebhookRepository
from services.gateway.api.parts import Opened, part
from services.gateway.door.access import operator
from services.gateway.door.neighbours import check_page
from services.gateway.door.sessions import granted
from shared.artifacts.repository import ArtifactRepository
from shared.queue.dead import DeadLetters


def guarded(handlers: Sequence[HTTPRouteHandler], opened: Opened) -> Router:
    """A router whose handlers only operators may call, with the dependencies that only they get."""

    def admin_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Raises `Unauthorized` or `Forbidden` unless an operator asks.

        A browser adds remembered Basic credentials to requests that other sites start. Sec-Fetch-Site says
        so, but over plain http only on loopback (Fetch Metadata, 4.2); Origin does with every POST (Fetch,
        3.2), and no other site's page can send what is neither GET nor POST. Tools other than browsers send
        neither.
        """
        gateway, of = opened(), connection.headers.get
        check_page(of("host", ""), of("origin"), of("sec-fetch-site"), gateway.settings.public_url)
        token = granted(connection.scope)
        if token is not None:
            operator(token)
        else:
            given = of("authorization")
            token = gateway.access.administrator(
                None if given is None else given.encode("latin-1", "replace"),
                connection.client.host if connection.client else "",
            )
        connection.state.actor = token.name

    return Router(
        "/",
        route_handlers=handlers,
        guards=[admin_only],
        tags=["admin"],
        dependencies={
            "actor": Provide(_actor, sync_to_thread=False),
            "repository": part(lambda: AdminRepository(opened().database)),
            "event_repository": part(lambda: EventRepository(opened().database)),
            "serving_rows": part(lambda: ServingRows(opened().database)),
            "feed_repository": part(lambda: FeedRepository(opened().database)),
            "webhook_repository": part(lambda: WebhookRepository(opened().database)),
            "objects": part(lambda: opened().objects),
            "kept_answers": part(lambda: KeptAnswers(opened().database)),
            "dead_letters": part(lambda: DeadLetters(opened().queue_redis)),
            "still_told": part(
                lambda: StillTold(
                    ArtifactRepository(opened().database),
                    opened().objects,
                    opened().cache,
                    opened().misses,
                    opened().parsers,
                )
            ),
            "queue_redis": part(lambda: opened().queue_redis),
            "desk": part(lambda: opened().desk),
            "access_watcher": part(lambda: opened().access_watcher),
            "job_queue": part(lambda: opened().queue),
        },
    )


def _actor(request: Request[Any, Any, Any], request_id: str) -> Actor:
    """The operator that `admin_only` authenticated."""
    return Actor(request.state.actor, request_id)
