"""Addresses at an upstream: derived from the simple root, never doubled."""

from __future__ import annotations

import pytest

from shared.models import UpstreamSource
from tests.shared.protocols.pypi.support import PYPI


def _source(url: str) -> UpstreamSource:
    return UpstreamSource(1, "pypi", "pypi", url)


@pytest.mark.parametrize(
    ("source", "identity", "url"),
    [
        ("https://i.example.com/simple", "simple/flask", "https://i.example.com/simple/flask/"),
        ("https://i.example.com/simple/", "simple/flask", "https://i.example.com/simple/flask/"),
        ("https://i.example.com/simple/", "simple/", "https://i.example.com/simple/"),
        ("https://i.example.com/root/pypi/+simple/", "simple/flask", "https://i.example.com/root/pypi/+simple/flask/"),
        ("http://127.0.0.1:8080/repo/x/simple", "simple/a-b", "http://127.0.0.1:8080/repo/x/simple/a-b/"),
        ("https://i.example.com", "simple/flask", "https://i.example.com/flask/"),
        ("https://i.example.com/simple/?k=1", "simple/flask", "https://i.example.com/simple/flask/?k=1"),
        ("https://i.example.com/simple/", "json/flask", "https://i.example.com/pypi/flask/json"),
        ("https://i.example.com/simple", "json/flask/1.0", "https://i.example.com/pypi/flask/1.0/json"),
        ("https://i.example.com/repo/x/simple/", "json/flask", "https://i.example.com/repo/x/pypi/flask/json"),
        ("https://i.example.com", "json/flask", "https://i.example.com/pypi/flask/json"),
    ],
)  # fmt: skip
def test_upstream_request__any_root__gives_one_address(source: str, identity: str, url: str) -> None:
    assert PYPI.upstream.upstream_request(identity, _source(source)).url == url


def test_upstream_request__simple__prefers_json_and_takes_html() -> None:
    accept = PYPI.upstream.upstream_request("simple/flask", _source("https://i.example.com/simple/")).accept
    assert accept == (
        "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
    )
    assert (
        PYPI.upstream.upstream_request("json/flask", _source("https://i.example.com/simple/")).accept
        == "application/json"
    )
