"""Which received Via headers show a loop, and what is sent on."""

from __future__ import annotations

import pytest

from shared.http.via import (
    MAX_HOPS,
    Installation,
    loops,
    may_loop,
    name_of,
    names_in,
    teller,
    told,
    via_value,
)
from shared.version import VERSION

A, B = name_of("a" * 32), name_of("b" * 32)
MANY = [name_of(f"{number:032x}") for number in range(MAX_HOPS + 1)]

TABLE = [
    # received header, own name → a loop?
    ("", A, False),
    (f"1.1 {A}", A, True),
    (f"1.1 {B}", A, False),
    (f"1.1 {A}, 1.1 {B}", A, True),
    (f"1.1 {B},1.1 {A}", A, True),
    (f"1.1 proxy.example.com (nginx), 2.0  {A} (comment)", A, True),
    (f"HTTP/1.1 {A}", A, True),
    (A, A, False),  # no protocol: not a Via
    (f"1.1 {A}x", A, False),
    (f"1.1 x{A}", A, False),
    (f"1.1 {A.upper()}", A, False),
    (f"1.1 {A}", "", False),  # not known yet who we are
    ("1.1 , ,, 1.1", A, False),
    ("\x00\xff", A, False),
    (", ".join(f"1.1 {name}" for name in MANY[:MAX_HOPS]), A, False),
    (", ".join(f"1.1 {name}" for name in MANY), A, True),
]


@pytest.mark.parametrize(("header", "own", "loop"), TABLE)
def test_loop__own_name_in_the_header_or_too_many_hops(header: str, own: str, loop: bool) -> None:
    assert loops(names_in(header), own) == loop
    if loop:
        assert may_loop(header.encode("latin-1"), own)


@pytest.mark.parametrize("own", [A, ""])
def test_may_loop__others_names_and_no_orchard_s__no_closer_look(own: str) -> None:
    for header in (b"1.1 varnish (Varnish/7.1)", f"1.1 x, 1.1 {B}".encode(), b""):
        assert not may_loop(header, own)


@pytest.mark.parametrize(
    ("before", "own", "value"),
    [
        ("", A, f"1.1 {A}"),
        (A, B, f"1.1 {A}, 1.1 {B}"),
        (f"{A},{B}", "", f"1.1 {A}, 1.1 {B}"),
        ("", "", ""),
    ],
)
def test_value__what_came_in_goes_on_before_ones_own(before: str, own: str, value: str) -> None:
    assert via_value(own, before) == value
    assert names_in(value) == [name for name in [*before.split(","), own] if name]


def test_name__unknown_installation__is_none() -> None:
    assert name_of("") == ""


TELLERS = {
    told(A): Installation(A, VERSION),
    f"{told(B)}, 1.1 varnish (Varnish/7.1)": Installation(B, VERSION),
    f"{told(B)}, {told(A)}": Installation(A, VERSION),  # the nearest
    f"1.1 {A}": None,  # a request's: nobody's answer
    "1.1 varnish (Orchard/1)": None,
    f"1.1 {A} (Orchard/)": None,
    f"1.1 {A} (Orchard/{'1' * 50})": None,
    "\x00\xff": None,
    "": None,
}


@pytest.mark.parametrize("header", TELLERS)
def test_teller__who_answered_if_it_names_itself_as_an_orchard_does(header: str) -> None:
    assert teller(header) == TELLERS[header]
