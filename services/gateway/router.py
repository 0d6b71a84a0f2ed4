"""Litestar's part of the gateway: everything that is not a package request."""

from __future__ import annotations

from litestar import Litestar

from services.gateway.api import (
    admitted,
    builds,
    bundles,
    catalogue,
    client_config,
    ensure,
    exchange,
    locks,
    queues,
    resolution,
    search,
    statements,
    stock,
    told_blocks,
    transparency,
    versions,
    why,
)
from services.gateway.api.admin import (
    access,
    dead_letters,
    disk,
    events,
    feeds,
    policy,
    rules,
    servings,
    trust,
    upstreams,
    webhooks,
)
from services.gateway.api.admin import builds as all_builds
from services.gateway.api.admin.guard import guarded
from services.gateway.api.health import (
    health,
    health_for_operators,
    identity,
    live,
    metrics_page,
    ready,
)
from services.gateway.api.parts import Running, opened_of, parts
from services.gateway.api.unknown_parameters import UnknownParameters
from services.gateway.pages.command import command, log_verifier
from services.gateway.pages.front import page
from services.gateway.pages.layout import template_config
from services.gateway.pages.openapi_page import openapi_config
from services.gateway.pages.routes import errors, pages


def build_litestar(application: Running) -> Litestar:
    """The router; its handlers are given the parts of the application's gateway (`api/parts.py`)."""
    opened = opened_of(application)
    operators = [
        *upstreams.HANDLERS,
        *all_builds.HANDLERS,
        *access.HANDLERS,
        *events.HANDLERS,
        *dead_letters.HANDLERS,
        health_for_operators,
        *disk.HANDLERS,
        *servings.HANDLERS,
        *feeds.HANDLERS,
        *policy.HANDLERS,
        *rules.HANDLERS,
        *webhooks.HANDLERS,
        *trust.HANDLERS,
    ]
    return Litestar(
        route_handlers=[
            page,
            command,
            log_verifier,
            health,
            live,
            ready,
            identity,
            metrics_page,
            *catalogue.HANDLERS,
            *versions.HANDLERS,
            *search.HANDLERS,
            *stock.HANDLERS,
            *client_config.HANDLERS,
            *resolution.HANDLERS,
            *ensure.HANDLERS,
            *exchange.HANDLERS,
            *builds.HANDLERS,
            *bundles.HANDLERS,
            *locks.HANDLERS,
            *told_blocks.HANDLERS,
            *statements.HANDLERS,
            *transparency.HANDLERS,
            *admitted.HANDLERS,
            *why.HANDLERS,
            *queues.HANDLERS,
            queues.queue_events(opened),
            guarded(operators, opened),
            pages(opened),
        ],
        before_request=UnknownParameters(),
        dependencies=parts(application, opened),
        openapi_config=openapi_config(),
        template_config=template_config(),
        exception_handlers={Exception: errors(opened)},
        logging_config=None,
        debug=False,
    )
