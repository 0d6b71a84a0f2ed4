"""Negotiation of a simple page's representation (PEP 691), as clients really ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotAcceptable
from shared.protocols.pypi import negotiation
from tests.shared.protocols.pypi.support import HTML, JSON, TEXT, classify

PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"
UV = f"{JSON}, {HTML};q=0.2, text/html;q=0.01"
POETRY = f"{JSON}, */*;q=0.1"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PIP, JSON), (UV, JSON), (POETRY, JSON), (BROWSER, TEXT), (None, TEXT), ("", TEXT), ("*/*", TEXT),
        ("text/html", TEXT), ("text/*", TEXT), (HTML, HTML), (JSON, JSON), (JSON.upper(), JSON),
        ("application/*", JSON), ("application/*;q=0.1, */*;q=0.5", TEXT),
        ("application/vnd.pypi.simple.latest+json", JSON), ("application/vnd.pypi.simple.latest+html", HTML),
        (f"{JSON};q=0.5, text/html;q=0.6", TEXT), (f"{JSON};q=0.6, text/html;q=0.5", JSON),
        (f"text/html, {JSON}", JSON), (f"*/*, {JSON};q=0", TEXT), (f"text/html;q=0, {HTML}", HTML),
        ("text/html;charset=utf-8", TEXT), (f" {JSON} ; q=1.000 ", JSON),
        ("text/html;q=0, */*", HTML),
        # malformed elements are left out; a header with nothing else is as if missing
        ("garbage", TEXT), (";;;,,,", TEXT), ("/", TEXT), ("*/html, text/html", TEXT),
        (f"{JSON};q=x, text/html", TEXT), (f"{JSON};q=2, text/html", TEXT), (f"{JSON};q=-1, text/html", TEXT),
        ("text/html;q=nan", TEXT), (f"{JSON};q=\xb2, text/html", TEXT),
    ],
)  # fmt: skip
def test_accept__as_sent__answers_with_exactly_this_type(accept: str | None, content_type: str) -> None:
    resource = classify(b"/simple/flask/", accept=accept)
    assert resource.content_type == content_type
    assert resource.representation == ("json" if content_type == JSON else "html")
    assert resource.vary == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    "accept",
    [
        "application/json", "application/vnd.pypi.simple.v2+json", "image/png", "*/*;q=0", "text/html;q=0",
        f"{JSON};q=0.0", "application/xml, text/plain", f"{JSON}, " * 400,
    ],
)  # fmt: skip
def test_accept__nothing_we_have__is_406(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        classify(b"/simple/flask/", accept=accept)


@pytest.mark.parametrize(
    ("query", "content_type"),
    [
        (b"format=application/vnd.pypi.simple.v1%2Bjson", JSON),
        (b"format=application/vnd.pypi.simple.v1+json", JSON),
        (b"format=application/vnd.pypi.simple.latest%2Bhtml", HTML),
        (b"a=b&format=text/html&format=application/json", TEXT),
        (b"format=TEXT/HTML", TEXT),
        (b"formatted=x", JSON),
    ],
)
def test_format_parameter__wins_over_accept(query: bytes, content_type: str) -> None:
    assert classify(b"/simple/flask/", query=query, accept=JSON).content_type == content_type


@pytest.mark.parametrize("query", [b"format=json", b"format=", b"format=*/*", b"format=application/json"])
def test_format_parameter__unknown__is_406(query: bytes) -> None:
    with pytest.raises(NotAcceptable):
        classify(b"/simple/flask/", query=query, accept=JSON)


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_accept__any_text__gives_a_known_type_or_406(accept: str) -> None:
    try:
        resource = classify(b"/simple/", accept=accept)
    except NotAcceptable:
        return
    assert resource.content_type in (JSON, HTML, TEXT)


_RANGES = st.sampled_from([JSON, HTML, "text/html", "*/*", "application/*", "text/*", "image/png"])


@given(
    st.lists(st.tuples(_RANGES, st.integers(0, 10)), min_size=1, max_size=6, unique_by=lambda pair: pair[0])
)
def test_accept__any_weights__never_answers_a_type_that_weighs_less(pairs: list[tuple[str, int]]) -> None:
    weights = dict(pairs)

    def weight(offered: str) -> int:
        for candidate in (offered, offered.partition("/")[0] + "/*", "*/*"):
            if candidate in weights:
                return weights[candidate]
        return 0

    accept = ", ".join(f"{media};q={tenths / 10}" for media, tenths in pairs)
    best = max(weight(JSON), weight(HTML), weight("text/html"))
    if best == 0:
        with pytest.raises(NotAcceptable):
            classify(b"/simple/", accept=accept)
    else:
        assert weight(classify(b"/simple/", accept=accept).content_type.partition(";")[0]) == best


def test_over_long_header__is_not_remembered() -> None:
    before = negotiation._negotiate_header.cache_info().currsize
    with pytest.raises(NotAcceptable):
        negotiation.negotiate(b"text/html, " + b"a/b, " * 1000)
    assert negotiation._negotiate_header.cache_info().currsize == before
