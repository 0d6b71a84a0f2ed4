"""`/ui/docs/`: the documents that messages name as `docs/…`, as the text that they are.

They lie beside the services' code in a checkout and in the wheel; where they do not, the page says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.response import Template

from services.gateway.pages.asking import Ask
from services.gateway.pages.layout import HEADERS
from shared.errors import RouteNotFound

FOLDER = Path(__file__).resolve().parents[4] / "docs"
_PATHS = {path.name: path for path in sorted(FOLDER.glob("*.md"))}
"""By name: no other file is ever opened."""
_TITLES = {name: path.read_text("utf-8").partition("\n")[0].lstrip("# ") for name, path in _PATHS.items()}


@get("/docs")
async def documents(ask: Ask) -> Template:
    """What there is."""
    return ask.page("documents/documents.html", "Documents", titles=_TITLES)


@get("/docs/{name:str}", sync_to_thread=True)
def document(name: str) -> Response[Any]:
    """One, as Markdown, which a browser shows."""
    path = _PATHS.get(name)
    if path is None:
        raise RouteNotFound("there is no document of this name", hint="/ui/docs/ lists those there are.")
    return Response(path.read_bytes(), headers={**HEADERS, "content-type": "text/plain; charset=utf-8"})


HANDLERS = [documents, document]
