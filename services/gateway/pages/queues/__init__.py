"""The queues, live: a page with charts that its script draws."""

from __future__ import annotations

from litestar import get
from litestar.response import Template

from services.gateway.pages.asking import Ask


@get("/queues")
async def queues(ask: Ask) -> Template:
    """Its figures come by `/ui/queues/events` (services/gateway/api/queues.py)."""
    return ask.page("queues/queues.html", "Queues")


HANDLERS = [queues]
