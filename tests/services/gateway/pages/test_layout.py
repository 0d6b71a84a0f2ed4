"""What every template shows."""

from __future__ import annotations

import pytest

from services.gateway.pages.layout import template_config


def shown(value: object) -> str:
    return template_config().engine_instance.engine.from_string("{{ it }}").render(it=value)


@pytest.mark.parametrize("code", [0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069])
def test_mark_that_turns_the_text_after_it__is_shown_and_not_obeyed(code: int) -> None:
    assert shown(f"gpj.{chr(code)}exe <b>") == f"gpj.\\u{code:04x}exe &lt;b&gt;"


@pytest.mark.parametrize("text", ["Zürich", "שלום", "a\u200fb", "日本"])
def test_text_of_any_language__is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text
    assert shown(7) == "7"
