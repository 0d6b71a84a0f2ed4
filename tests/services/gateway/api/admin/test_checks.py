"""What an administrator may store: what would have no effect is refused, not kept unnoticed."""

from __future__ import annotations

import pytest

from services.gateway.api.admin.access_types import NewToken, WantedBlock
from services.gateway.api.admin.checks import block, bounds_of, names_of
from shared.errors import InvalidParameter
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase

PROJECTS = {"cargo": "serde", "npm": "left-pad", "pypi": "demo", "maven": "com.acme:lib"}


@pytest.mark.parametrize("protocol", PROJECTS)
@pytest.mark.parametrize("version", ["*", "1.*", "^1", "[1,2)", ">=1", "1 || 2"])
def test_block__of_a_range_or_a_pattern__is_refused(protocol: str, version: str) -> None:
    with pytest.raises(InvalidParameter, match="version"):
        block(WantedBlock(protocol=protocol, name=PROJECTS[protocol], version=version, reason="it steals"))


@pytest.mark.parametrize(
    ("protocol", "version"), [("cargo", "notaversion"), ("cargo", "1.0"), ("cargo", "v1.1.0"), ("npm", "1.0")]
)
def test_block__of_what_is_no_version__is_refused(protocol: str, version: str) -> None:
    with pytest.raises(InvalidParameter, match="version"):
        block(WantedBlock(protocol=protocol, name=PROJECTS[protocol], version=version, reason="it steals"))


@pytest.mark.parametrize(
    ("protocol", "name", "version", "kept"),
    [
        ("cargo", "Serde", "1.0.0+build", "1.0.0"),
        ("npm", "left-pad", "v1.3.0", "1.3.0"),
        ("pypi", "demo", "1.0.0", "1"),
        ("maven", "com.acme:lib", "1.0-jre", "1.0-jre"),
    ],
)
def test_block__of_a_version__is_kept_under_its_canonical_spelling(
    protocol: str, name: str, version: str, kept: str
) -> None:
    assert (
        block(WantedBlock(protocol=protocol, name=name, version=version, reason="it steals")).version == kept
    )


def test_block__by_a_package_url_or_a_digest__is_the_same() -> None:
    made = block(WantedBlock("it steals", of="pkg:npm/left-pad@v1.3.0"))
    assert (made.protocol, made.name, made.version, made.sha256) == ("npm", "left-pad", "1.3.0", "")
    assert block(WantedBlock("it steals", of="AB" * 32)).sha256 == "ab" * 32


@pytest.mark.parametrize("other", ["protocol", "name", "version", "sha256"])
def test_block__by_a_package_url_and_more__is_refused(other: str) -> None:
    with pytest.raises(InvalidParameter, match="stands alone"):
        block(WantedBlock("it steals", of="pkg:npm/left-pad", **{other: "x"}))


@pytest.mark.parametrize("protocols", [(), ("maven",)])
@pytest.mark.parametrize(
    "pattern", ["pypi/flask", "pypi/acme-*", "npm/@acme/*", "org/example/lib", "maven/com.acme:lib"]
)
def test_names__that_no_package_can_have__are_refused(pattern: str, protocols: tuple[str, ...]) -> None:
    with pytest.raises(InvalidParameter, match="name of no package"):
        names_of([pattern], protocols)


def test_names__behind_a_protocol__told_as_they_are_meant() -> None:
    with pytest.raises(InvalidParameter, match=r"say 'pypi' among the protocols, and 'acme-\*' here"):
        names_of(["pypi/acme-*"], ())


@pytest.mark.parametrize(
    "pattern",
    ["flask", "Flask_Login", "acme-*", "@acme/*", "@acme/lib", "com.acme:*", "com.acme:lib", "*", "[ab]*"],
)
def test_names__that_a_package_can_have__are_kept(pattern: str) -> None:
    assert names_of([pattern], ()) == (pattern,)


@pytest.mark.parametrize(
    ("given", "kept"), [("::ffff:127.0.0.1", "127.0.0.1/32"), ("10.0.0.0/8", "10.0.0.0/8"), ("::1", "::1")]
)
def test_networks__are_kept_as_clients_addresses_are_compared(given: str, kept: str) -> None:
    token = NewToken(name="ci", scope="read", networks=(given,))
    assert bounds_of(token, 0.0).networks == (kept,)


def test_networks__of_a_zone__are_refused() -> None:
    with pytest.raises(InvalidParameter, match="zone"):
        bounds_of(NewToken(name="ci", scope="read", networks=("fe80::1%eth0",)), 0.0)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
@pytest.mark.parametrize("name", ["thing-1", "my_thing", "a.b-c", "@corp/x-y", "org.example:a-b", "Thing"])
def test_names_of_a_token__whatever_a_package_can_be_called__is_taken(
    protocol: PackageProxyBase, name: str
) -> None:
    if protocol.names.is_project_name(name):
        assert names_of((name,), (protocol.name,)) == (name,)
