"""What a token is good for: until when, from where, for which packages."""

from __future__ import annotations

import pytest

from shared.access.bounds import UNBOUND, Bounds, bounded_digest
from shared.errors import Forbidden, Unauthorized
from shared.protocols import PROTOCOLS, protocol_named

NOW = 1_800_000_000.0


def test_expiry__good_until_then_and_not_from_then_on() -> None:
    bounds = Bounds(expires_at=NOW)
    bounds.check_when_and_where("", NOW - 0.001)
    for now in (NOW, NOW + 1e9):
        with pytest.raises(Unauthorized):
            bounds.check_when_and_where("", now)


@pytest.mark.parametrize(
    ("networks", "client", "good"),
    [
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.7/8",), "10.1.1.1", True),  # host bits set
        (("192.0.2.1",), "192.0.2.1", True),
        (("192.0.2.1",), "::ffff:192.0.2.1", True),  # RFC 4291, 2.5.5.2
        (("2001:db8::/32",), "2001:db8:1::5", True),
        (("2001:db8::/32",), "2001:db9::5", False),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::1", True),
        (("0.0.0.0/0",), "::1", False),  # another family
        (("0.0.0.0/0", "::/0"), "", False),  # nobody's
        (("0.0.0.0/0",), "not an address", False),
        ((), "not an address", True),
    ],
)
def test_networks__good_from_these_alone(networks: tuple[str, ...], client: str, good: bool) -> None:
    bounds = Bounds(networks=networks)
    if good:
        bounds.check_when_and_where(client, NOW)
        return
    with pytest.raises(Forbidden):
        bounds.check_when_and_where(client, NOW)


@pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])
def test_protocols__good_for_these_alone(protocol: str) -> None:
    meant = protocol_named(protocol).names.meant_patterns
    Bounds(protocols=(protocol,)).check_package(protocol, meant, "")
    UNBOUND.check_package(protocol, meant, "")
    for other in {each.name for each in PROTOCOLS} - {protocol}:
        with pytest.raises(Forbidden):
            Bounds(protocols=(other,)).check_package(protocol, meant, "")


@pytest.mark.parametrize(
    ("protocol", "pattern", "good", "bad"),
    [
        ("pypi", "corp-*", "corp-lib", "corporate"),
        ("pypi", "Corp_Lib", "corp-lib", "corp-lib-x"),
        ("npm", "@corp/*", "@corp/ui", "@corporate/ui"),
        ("maven", "com.corp:*", "com.corp:lib", "com.corporate:lib"),
        ("cargo", "corp-*", "corp-core", "xcorp-core"),
    ],
)
def test_names__good_for_these_alone_and_for_no_list_of_all(
    protocol: str, pattern: str, good: str, bad: str
) -> None:
    meant = protocol_named(protocol).names.meant_patterns
    bounds = Bounds(names=(pattern, "something-else"))
    bounds.check_package(protocol, meant, good)
    for other in (bad, ""):
        with pytest.raises(Forbidden):
            bounds.check_package(protocol, meant, other)


def test_bounded_digest__is_not_what_an_earlier_orchard_looks_for() -> None:
    assert bounded_digest(b"\1" * 32) != b"\1" * 32 and len(bounded_digest(b"\1" * 32)) == 32
