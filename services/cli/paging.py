"""Lists that come in pages: followed until they end or are as long as was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.cli.output import Output
from services.cli.server import Server

LARGEST_PAGE = 500  # the API's own bound


def read_pages(
    server: Server,
    path: str,
    *,
    limit: int,
    offers: str,
    query: Mapping[str, str] | None = None,
    admin: bool = False,
) -> dict[str, Any]:
    """`{"items": […], "next": …}` with at most `limit` items; `next` is "" when that is all.

    Raises what an error means.
    """
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        asked = {**(query or {}), "limit": str(min(limit - len(found), LARGEST_PAGE)), "cursor": cursor}
        answer = server.call("GET", path, query=asked, offers=offers, admin=admin)
        found += answer.get("items", [])
        cursor = str(answer.get("next", ""))
        if not cursor or len(found) >= limit:
            return {"items": found, "next": cursor}


def note_more(answer: Mapping[str, Any], output: Output) -> None:
    """Say that a list goes on, if it does."""
    if answer["next"]:
        output.note(f"these are the first {len(answer['items'])}; --limit shows more")
