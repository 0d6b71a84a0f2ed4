"""How limits count addresses: one customer is one, in whatever spelling."""

from __future__ import annotations

import pytest

from services.gateway.http.addresses import TrustedProxies, address_of, network_of


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:0DB8:0:0:ffff::2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_network_of__any_spelling(address: str, counted: str) -> None:
    assert network_of(address) == counted


@pytest.mark.parametrize(
    ("forwarded", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%'; DROP TABLE servings", "fe80::1"),
        ("192.0.2.7, <script>", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_forwarded_for__the_last_that_is_no_proxy_and_no_more_than_an_address(
    forwarded: str, origin: str
) -> None:
    scope = {"client": ("10.0.0.1", 4000), "headers": []}
    applied = TrustedProxies(["10.0.0.0/8"]).applied(scope, {b"x-forwarded-for": forwarded.encode()})
    assert address_of(applied) == origin
