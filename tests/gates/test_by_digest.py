"""`/cas/{algorithm}/{hex}`: the same bytes by their digest, through the same gate, for all protocols."""

from __future__ import annotations

import hashlib

import pytest

from tests.gates.conftest import Blocking, Offering
from tests.gates.shops import SHOPS
from tests.gates.test_stored_files import BLOCKS, STORED_WAYS, block_of
from tests.support.gateway import raw_request
from tests.support.orchard import Cluster

KEPT = {
    "pypi": ("sha256",),
    "npm": ("sha256", "sha512", "sha1"),
    "maven": ("sha256", "sha512", "sha1"),
    "cargo": ("sha256",),
}


def _by(algorithm: str, data: bytes) -> str:
    return f"/cas/{algorithm}/{hashlib.new(algorithm, data).hexdigest()}"


@pytest.mark.parametrize("protocol", SHOPS)
def test_digest__every_way_is_answered_as_by_name_and_may_be_kept_for_ever(
    orchard: Cluster, offer: Offering, protocol: str
) -> None:
    wanted = offer(protocol, size_bytes=100_000)
    port = orchard.gateway.port
    path = _by("sha256", wanted.data)
    assert raw_request(port, path).status == 404  # it is not stored yet
    assert raw_request(port, wanted.path).body == wanted.data
    for algorithm in KEPT[protocol]:
        path = _by(algorithm, wanted.data)
        for _ in range(3):  # from a row, the cache, memory
            for way, (method, headers) in STORED_WAYS.items():
                named = raw_request(port, wanted.path, method, headers)
                answer = raw_request(port, path, method, headers)
                assert (answer.status, answer.body) == (named.status, named.body), way
                assert answer.headers["etag"] == f'"{wanted.sha256}"'
                assert "immutable" in answer.headers["cache-control"]
        unchanged = raw_request(port, path, headers={"if-none-match": f'"{wanted.sha256}"'})
        assert (unchanged.status, unchanged.body) == (304, b"")


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("what", BLOCKS)
def test_digest_of_what_is_blocked__refused_every_way(
    orchard: Cluster, offer: Offering, block: Blocking, protocol: str, what: str
) -> None:
    wanted = offer(protocol, size_bytes=100_000)
    port = orchard.gateway.port
    raw_request(port, wanted.path)
    paths = [_by(algorithm, wanted.data) for algorithm in KEPT[protocol]]
    for path in paths:
        for _ in range(3):
            assert raw_request(port, path).status == 200
    block(**block_of(wanted, what))
    for path in paths:
        for way, (method, headers) in STORED_WAYS.items():
            assert raw_request(port, path, method, headers).status == 403, way


def test_digest_under_two_names__one_blocked__served_by_the_other(
    orchard: Cluster, offer: Offering, block: Blocking
) -> None:
    first = offer("maven", size_bytes=100_000)
    port, name = orchard.gateway.port, first.name.partition(":")[2]
    other = first.path.replace(name, f"{name}-again")
    orchard.upstream.put(other, first.data)
    for path in (first.path, other):
        assert raw_request(port, path).body == first.data
    block(protocol="maven", name=first.name)
    assert raw_request(port, _by("sha256", first.data)).body == first.data
    block(protocol="maven", name=f"{first.name}-again")
    answer = raw_request(port, _by("sha256", first.data))
    assert (answer.status, answer.headers["x-orchard-error"]) == (403, "blocked")


def test_names_in_the_cache_that_lie__are_not_believed(orchard: Cluster, offer: Offering) -> None:
    right, wrong = offer("npm", size_bytes=1000), offer("npm", size_bytes=2000)
    port = orchard.gateway.port
    for each in (right, wrong):
        assert raw_request(port, each.path).status == 200
    with orchard.client(orchard.cache) as cache:
        assert raw_request(port, _by("sha512", wrong.data)).body == wrong.data
        lie = cache.get(f"orchard:artifact_names:sha512:{hashlib.sha512(wrong.data).hexdigest()}")
        cache.set(f"orchard:artifact_names:sha512:{hashlib.sha512(right.data).hexdigest()}", lie)
    assert raw_request(port, _by("sha512", right.data)).body == right.data


@pytest.mark.parametrize(
    "path",
    [
        "/cas",
        "/cas/",
        "/cas/sha256/",
        "/cas/md5/" + "0" * 32,
        "/cas/sha256/" + "A" * 64,
        "/cas/sha256/" + "0" * 63,
        "/cas/sha1/" + "0" * 64,
        "/cas/sha256/../sha256/" + "0" * 64,
        "/cas/sha256/%30" + "0" * 63,
        "/cas/sha256/" + "0" * 64 + "/x",
        "/cas/sha512/" + "0" * 128,
    ],
)
def test_address_that_names_no_stored_file__404(orchard: Cluster, path: str) -> None:
    assert raw_request(orchard.gateway.port, path).status == 404
