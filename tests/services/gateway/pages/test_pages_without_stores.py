"""Pages while stores are away: each is shown, says what cannot be told, and problems come first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.gateway.pages import layout
from tests.support.gateway import free_port, running_gateway


@pytest.mark.timeout(120)
async def test_home__database_away__tells_the_problem_first_and_the_rest(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    settings = store_settings | {
        "ORCHARD_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    }
    with running_gateway(settings, tmp_path) as gateway:
        home = await asyncio.to_thread(gateway.request, "/ui/")
        text = home.body.decode()
        assert home.status == 200
        assert text.index("problems</h2>") < text.index("Saved")
        assert "database:" in text and "What is stored cannot be told now" in text
        for path in ("/ui/upstreams", "/ui/disk", "/ui/locks", "/ui/setup"):
            assert (await asyncio.to_thread(gateway.request, path)).status == 200, path
        assert (await asyncio.to_thread(gateway.request, "/ui/packages/pypi/flask")).status == 503


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.123, "123 ms"),
        (0.0002, "1 ms"),
        (1.23, "1.2 s"),
        (9.0, "9 s"),
        (59.0, "59 s"),
        (61.0, "1 min"),
        (7200.0, "2 h"),
        (86_400.0 * 400, "1 y"),
    ],
)
def test_span__has_a_unit(seconds: float, said: str) -> None:
    assert layout.span(seconds) == said


@pytest.mark.parametrize(
    ("value", "name", "said"),
    [
        ({"protocols": ["npm"], "names": [], "expires_at": 0}, "bounds", "protocols: npm"),
        ({"expires_at": 4102444800}, "bounds", "expires_at: 2100-01-01 00:00:00 UTC"),
        ([{"name": "no copyleft", "refuse": True}, {"name": "old"}], "after", "no copyleft, old"),
        ([], "types", "none"),
        (1767225600, "expires_at", "2026-01-01 00:00:00 UTC"),
        ("x", "reason", "x"),
        (True, "since", "yes"),
    ],
)
def test_field__of_the_audit__is_words(value: object, name: str, said: str) -> None:
    assert layout.field(value, name) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"), [(0, 0, "–"), (1, 3, "33 %"), (999, 1000, "99 %"), (1000, 1000, "100 %")]
)
def test_share__never_calls_all_what_is_not(part: int, whole: int, said: str) -> None:
    assert layout.share(part, whole) == said
