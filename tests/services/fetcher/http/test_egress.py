"""A cloud's metadata service is no upstream, however it is written and whatever the operator allowed."""

from __future__ import annotations

import pytest

from services.fetcher.http.egress import is_metadata, policy_of
from shared.errors import UpstreamBlocked
from shared.models import UpstreamSource

ADDRESSES = (
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe", "::ffff:169.254.169.254",
    "::ffff:168.63.129.16", "64:ff9b::a83f:8110", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1", "::169.254.169.254", "fe80::1%eth0",
)  # fmt: skip
NAMES = (
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata.goog",
    "metadata",
    "instance-data",
)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("allow_private", [False, True])
def test_check_address__metadata__refused_whatever_is_allowed(address: str, allow_private: bool) -> None:
    url = "https://repo.example.com/"
    source = UpstreamSource(1, "pypi", "main", url, allow_private=allow_private)
    with pytest.raises(UpstreamBlocked):
        policy_of(source, [address]).check_address("repo.example.com", address)


@pytest.mark.parametrize("host", NAMES)
def test_check_url__metadata_by_name__refused_even_as_the_sources_own(host: str) -> None:
    source = UpstreamSource(1, "pypi", "main", f"http://{host}/", allow_private=True)
    with pytest.raises(UpstreamBlocked):
        policy_of(source).check_url(f"http://{host}/simple/")


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "192.168.1.1", "93.184.215.14"]
)
def test_is_metadata__others__not(address: str) -> None:
    assert not is_metadata(address)
