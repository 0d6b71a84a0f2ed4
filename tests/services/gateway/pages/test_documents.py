"""`/ui/docs/`: every document that messages name is there, for everyone, and no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.cli.parser import build_parser
from tests.support.gateway import running_gateway
from tests.support.stores import ROOT


@pytest.fixture
def stranger(store_settings: dict[str, str], tmp_path: Path) -> Iterator[httpx.Client]:
    """Without a token at a gateway that asks for one."""
    settings = {**store_settings, "ORCHARD_ANONYMOUS_READ": "false"}
    with (
        running_gateway(settings, tmp_path) as gateway,
        httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False, timeout=30) as client,
    ):
        yield client


def _named() -> set[str]:
    """Documents that texts of the code point to."""
    found = {build_parser().format_help()}
    for folder in ("services", "shared"):
        found |= {path.read_text() for path in (ROOT / folder).rglob("*.py")}
    return {name for text in found for name in re.findall(r"docs/([a-z-]+\.md)", text)}


def test_documents__all_that_messages_name_are_listed_and_shown_as_they_are(stranger: httpx.Client) -> None:
    listed = set(
        re.findall(r'href="[./]*docs/([a-z-]+\.md)"', stranger.get("/ui/docs/").raise_for_status().text)
    )
    named = _named()
    assert len(named) > 10 and named <= listed
    for name in sorted(listed):
        shown = stranger.get(f"/ui/docs/{name}").raise_for_status()
        assert shown.content == (ROOT / "docs" / name).read_bytes()
        assert shown.headers["content-type"] == "text/plain; charset=utf-8"
        assert shown.headers["x-content-type-options"] == "nosniff"


def test_name_of_no_document__404(stranger: httpx.Client) -> None:
    for name in (
        "orchard.1",
        "nothing.md",
        "..%2fREADME.md",
        "%2e%2e/packages",
        "%2e%2e%2fpackages",
        "decisions/0040-verdicts.md",
    ):
        url = stranger.base_url.copy_with(raw_path=f"/ui/docs/{name}".encode())
        assert stranger.send(httpx.Request("GET", url)).status_code in (400, 404), name


def test_what_lies_beside_the_documents__stays_closed(stranger: httpx.Client) -> None:
    for path in ("/ui/", "/ui/docsx", "/ui/packages"):
        assert stranger.get(path).status_code == 401
