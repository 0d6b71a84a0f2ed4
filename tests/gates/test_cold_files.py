"""Every way to the bytes of a file that is not stored × what is wrong with it × protocols."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gates.conftest import Blocking, Offering
from tests.gates.shops import SHOPS, spoil
from tests.gates.ways import COLD_WAYS, Haul
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Fault, Upstream

Show = Callable[..., None]
CHECKS = ["right", "wrong bytes", "sha256 blocked", "name blocked", "version blocked"]


@pytest.mark.parametrize("protocol", SHOPS)
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("way", COLD_WAYS)
def test_cold__no_way_gives_the_whole_of_what_does_not_pass(
    orchard: Cluster,
    upstream: Upstream,
    offer: Offering,
    block: Blocking,
    show: Show,
    protocol: str,
    check: str,
    way: str,
) -> None:
    wanted = offer(protocol)
    upstream.fault(wanted.upstream_path, Fault(bytes_per_second=4_000_000))
    if check == "wrong bytes":
        spoil(upstream, wanted)
    elif check == "sha256 blocked":
        block(sha256=wanted.sha256)
    elif check == "name blocked":
        block(protocol=protocol, name=wanted.name)
    elif check == "version blocked":
        block(protocol=protocol, name=wanted.name, version=wanted.version)
    haul = Haul(orchard.gateway.port, wanted.path, len(wanted.data))
    COLD_WAYS[way](haul)
    show(protocol, check, way, haul.words)
    if check == "right":
        assert haul.is_whole and bytes(haul.got) == wanted.data
        assert all(answer.complete for answer in haul.answers)
    elif check.startswith(("name", "version")):
        assert {answer.status for answer in haul.answers} == {403}
    else:
        assert not haul.is_whole
        assert not any(answer.complete and len(answer.body) == haul.size for answer in haul.answers)
        assert not any(answer.status == 404 for answer in haul.answers)


@pytest.mark.parametrize("protocol", SHOPS)
def test_cold__a_range_answered_before_the_seal__is_kept_by_nobody_and_is_the_sealed_one_later(
    orchard: Cluster, upstream: Upstream, offer: Offering, show: Show, protocol: str
) -> None:
    wanted = offer(protocol)
    upstream.fault(wanted.upstream_path, Fault(bytes_per_second=4_000_000))
    haul = Haul(orchard.gateway.port, wanted.path, len(wanted.data))
    answer = haul.ask("bytes=-1000")
    assert (answer.status, answer.body) == (206, wanted.data[-1000:])
    if answer.headers["x-cache"] == "LIVE":
        assert answer.headers["cache-control"] == "no-store"
    assert haul.ask().body == wanted.data
    sealed = haul.ask("bytes=-1000")
    assert (sealed.status, sealed.headers["x-cache"], sealed.body) == (206, "HIT", wanted.data[-1000:])
    show(protocol, "right", "small range", haul.words)


@pytest.mark.parametrize("way", ["whole", "range 0-", "two halves"])
@pytest.mark.parametrize("protocol", SHOPS)
def test_cold__cut_before_the_first_byte__is_our_own_503(
    orchard: Cluster, upstream: Upstream, offer: Offering, show: Show, protocol: str, way: str
) -> None:
    wanted = offer(protocol)
    upstream.fault(wanted.upstream_path, Fault(cut_at=0))
    haul = Haul(orchard.gateway.port, wanted.path, len(wanted.data))
    COLD_WAYS[way](haul)
    show(protocol, "cut at byte 0", way, haul.words)
    for answer in haul.answers:
        kind = "application/json" if protocol == "cargo" else "application/problem+json"
        assert (answer.status, answer.headers["content-type"]) == (503, kind)
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["x-cache"]
        told = f'"status":503,"cache":"{answer.headers["x-cache"]}"'
        line = f'"request_id":"{answer.headers["x-request-id"]}"'
        wait_until(
            lambda told=told, line=line: any(
                told in each and line in each for each in orchard.logs().splitlines()
            ),
            what="the line that tells what was sent",
        )
