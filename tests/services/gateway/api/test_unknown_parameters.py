"""Query parameters that a route of the API does not read."""

from __future__ import annotations

import re

import pytest
from litestar.routes import HTTPRoute

from services.gateway.api.unknown_parameters import PREFIX
from services.gateway.app import Application
from shared.settings import load_settings
from tests.services.gateway.api.unopened import ask

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the framework's, about its own future


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    """Not opened: what reaches a handler is answered 503."""
    return Application(load_settings({"ORCHARD_DATA_DIR": str(tmp_path_factory.mktemp("data"))}))


def _paths(application: Application) -> list[str]:
    """Of the routes that anybody may GET, with something in place of each parameter."""
    routes = [each for each in application.litestar.routes if isinstance(each, HTTPRoute)]
    return [
        re.sub(r"\{[^}]*\}", "x", route.path_format)
        for route in routes
        if route.path.startswith(PREFIX)
        and "GET" in route.methods
        and not route.route_handler_map["GET"][0].resolve_guards()
    ]


async def test_every_route__a_parameter_that_it_does_not_read__400_that_names_it(
    application: Application,
) -> None:
    paths = _paths(application)
    assert len(paths) > 20
    for path in paths:
        status, answer = await ask(application, path, b"nonsense=1")
        assert (status, answer["code"]) == (400, "invalid_parameter"), path
        assert "'nonsense': no such parameter here" in answer["detail"], path


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (b"limti=5", "'limti': no such parameter here; did you mean 'limit'?"),
        (b"limit=5&limit=6", "limit: given twice"),
        (b"%00" + b"a" * 99 + b"=1", "no such parameter here; there are "),
        (b"limit", ""),
    ],
    ids=["misspelt", "twice", "long", "without a value"],
)
async def test_parameter__misspelt_or_twice__says_what_is_meant(
    application: Application, query: bytes, told: str
) -> None:
    _, answer = await ask(application, "/api/v1/packages/pypi", query)
    assert told in answer["detail"]
    assert len(answer["detail"]) < 200


@pytest.mark.parametrize("path", ["/health", "/metrics"])
async def test_what_is_no_api__with_a_parameter_of_a_strangers__is_not_refused(
    application: Application, path: str
) -> None:
    status, answer = await ask(application, path, b"utm_source=mail")
    assert (status, answer["code"]) == (503, "shutting_down")
