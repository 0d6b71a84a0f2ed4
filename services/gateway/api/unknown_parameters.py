"""A call of the API with a query parameter that its route does not read is refused: it is a misspelt one, and
passed over in silence it would answer another question than was asked. Pages and package requests are not
checked: browsers and clients add what they like."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from litestar import Litestar, Request
from litestar.routes import HTTPRoute

from shared.errors import InvalidParameter

PREFIX = "/api/v1/"
_SHOWN = 40  # characters of what was given


class UnknownParameters:
    """Litestar's `before_request`, for all routes: what each reads is worked out once, at the first call."""

    def __init__(self) -> None:
        self._known: dict[int, frozenset[str]] = {}

    def __call__(self, request: Request[Any, Any, Any]) -> None:
        """Raises `InvalidParameter` naming one that is unknown, or that is given twice."""
        if not request.scope["query_string"] or not request.scope["path"].startswith(PREFIX):
            return
        self._known = self._known or _known(request.app)
        known = self._known[id(request.route_handler)]
        seen: set[str] = set()
        for name, _ in request.query_params.multi_items():
            if name not in known:
                raise InvalidParameter(f"{_shown(name)}: no such parameter here{_meant(name, known)}")
            if name in seen:
                raise InvalidParameter(f"{name}: given twice")
            seen.add(name)


def _known(app: Litestar) -> dict[int, frozenset[str]]:
    """The query parameters of each handler, its dependencies' included, by the handler's identity."""
    routes = (route for route in app.routes if isinstance(route, HTTPRoute))
    handled = (each for route in routes for each in route.route_handler_map.values())
    return {
        id(handler): frozenset(each.field_alias for each in model.expected_query_params)
        for handler, model in handled
    }


def _shown(name: str) -> str:
    return repr(name[:_SHOWN])


def _meant(name: str, known: frozenset[str]) -> str:
    if not known:
        return "; it takes none"
    near = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
