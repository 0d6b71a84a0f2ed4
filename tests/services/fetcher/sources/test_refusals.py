"""The words of an upstream's decision: found in every form, bounded, plain, without secrets."""

from __future__ import annotations

import pytest

from services.fetcher.sources.refusals import MAX_CHARACTERS, decision

JSON, HTML, TEXT = "application/json", "text/html; charset=utf-8", "text/plain"
SAID = {
    "RFC 9457": ("application/problem+json", b'{"title": "No", "detail": "by rule 17"}', "by rule 17"),
    "npm": (JSON, b'{"error": "by rule 17"}', "by rule 17"),
    "a list of errors": (JSON, b'{"errors": [{"status": 403, "message": "by rule 17"}]}', "by rule 17"),
    "nested": (JSON, b'{"error": {"code": "X", "message": "by rule 17"}}', "by rule 17"),
    "title of a page": (HTML, b"<html><title>403 &mdash; by\n rule 17</title>", "403 — by rule 17"),
    "heading of a page": (HTML, b"<h1 class=x>by <b>rule</b> 17</h1>", "by rule 17"),
    "text": (TEXT, b"  by\trule 17\r\n", "by rule 17"),
    "JSON by another name": (TEXT, b'{"message": "by rule 17"}', "by rule 17"),
    "a file": ("application/octet-stream", b"\x00\x01", ""),
    "no words": (JSON, b'{"code": 7}', ""),
    "broken JSON": (JSON, b'{"error": "by', ""),
    "deep JSON": (JSON, b'{"error":' * 5000, ""),
    "a colour": (TEXT, b"\x1b[31mby rule 17\x1b[0m", "by rule 17"),
    "bad UTF-8": (TEXT, b"by rule 17 \xff", "by rule 17 \ufffd"),
    "userinfo": (TEXT, b"see https://user:pw@repo.example.com/x", "see https://repo.example.com/x"),
    "a signed address": (
        TEXT,
        b"at https://repo.example.com/x?sig=abc&e=1",
        "at https://repo.example.com/x?…",
    ),
    "a token": (TEXT, b"bad token Bearer abcdef12345", "bad token Bearer …"),
    "the source's own": (TEXT, b"hunter22 is wrong", "… is wrong"),
    "long": (TEXT, b"x" * 5000, "x" * (MAX_CHARACTERS - 1) + "…"),
    "nothing": ("", b"", ""),
}


@pytest.mark.parametrize("form", SAID)
def test_decision__words_in_every_form(form: str) -> None:
    content_type, body, said = SAID[form]
    assert decision(content_type, body, ("hunter22", "")) == said
