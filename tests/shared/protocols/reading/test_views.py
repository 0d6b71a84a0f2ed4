"""The first part of an address that is a view: its one name, and what is none."""

from __future__ import annotations

import pytest

from shared.errors import MalformedRequest, RouteNotFound
from shared.protocols.reading.views import split_view, view_named

NEW_YEAR = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    "name",
    [
        "at-2026-01-01",
        "at-2026-01-01T00:00Z",
        "at-2026-01-01T00:00:00",
        "at-2026-01-01T00:00:00.9Z",
        "at-2026-01-01T01:00:00+01:00",
        "at-1767225600",
        "at-%32026-01-01",
    ],
)
def test_moment__every_spelling_has_one_name(name: str) -> None:
    view, rest = split_view(f"/v/{name}/pypi/simple/".encode())
    assert view is not None
    assert (view.name, view.moment, view.path) == ("at-1767225600", NEW_YEAR, "/v/at-1767225600")
    assert rest == b"/pypi/simple/"
    assert view_named(view.name) == view


@pytest.mark.parametrize(
    "path", [b"/pypi/simple/", b"/", b"/view/at-2026-01-01/", b"//v/at-2026-01-01/", b"/v"]
)
def test_path_without_a_view__as_it_is(path: bytes) -> None:
    assert split_view(path) == (None, path)


@pytest.mark.parametrize(
    "name",
    [
        "at-",
        "at-1.5",
        "at--1",
        "at-2026-02-30",
        "at-2026-1-1",
        "at-\u0661",
        "at-9" + "0" * 30,
        "at-20260101",
        "at-1979-12-31",
    ],
)
def test_no_date__says_how_one_is_spelt(name: str) -> None:
    with pytest.raises(MalformedRequest, match="2026-01-01"):
        split_view(f"/v/{name}/".encode())


@pytest.mark.parametrize("name", ["", "build", "AT-2026-01-01", "x" * 1000])
def test_no_view__404(name: str) -> None:
    with pytest.raises(RouteNotFound):
        split_view(f"/v/{name}/pypi/".encode())
