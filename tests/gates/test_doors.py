"""Every way without a token, where reading needs one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gates.conftest import ADMIN, Offering
from tests.gates.shops import SHOPS
from tests.gates.test_stored_files import STORED_WAYS
from tests.support.gateway import raw_request
from tests.support.orchard import Cluster, wait_until

Show = Callable[..., None]


@pytest.fixture(scope="module")
def closed(orchard: Cluster) -> int:
    """The port of a gateway that nobody reads from without a token."""
    return orchard.start("gateway", ORCHARD_ANONYMOUS_READ="false", ORCHARD_WRONG_TOKENS="0").port


@pytest.mark.parametrize("protocol", SHOPS)
def test_no_token__every_way_is_401(
    orchard: Cluster, closed: int, offer: Offering, show: Show, protocol: str
) -> None:
    wanted = offer(protocol, size_bytes=100_000)
    for _ in range(3):
        assert raw_request(closed, wanted.path, headers=ADMIN).status == 200  # hot there
    for way, (method, headers) in STORED_WAYS.items():
        answer = raw_request(closed, wanted.path, method, headers)
        show(protocol, "no token", f"stored: {way}", str(answer.status))
        scheme = answer.headers["www-authenticate"].partition(" ")[0]
        assert (answer.status, scheme) == (401, "Cargo" if protocol == "cargo" else "Basic")
    for path in wanted.beside:
        raw_request(closed, path, headers=ADMIN)
        assert raw_request(closed, path).status == 401, path
    cold = offer(protocol)
    for method in ("GET", "HEAD"):
        assert raw_request(closed, cold.path, method).status == 401


def test_no_token__kept_answers_and_pages_of_our_own_are_401(
    orchard: Cluster, closed: int, offer: Offering, show: Show
) -> None:
    wanted = offer("pypi", size_bytes=1000)
    assert raw_request(closed, wanted.path, headers=ADMIN).complete
    kept = f"/api/v1/artifacts/{wanted.sha256}/resolution"
    wait_until(lambda: raw_request(closed, kept, headers=ADMIN).status == 200, seconds=30, what="the graph")
    assert raw_request(closed, kept, headers=ADMIN).headers["x-cache"] == "HIT"
    paths = [
        kept,
        f"/cas/sha256/{wanted.sha256}",
        f"{kept}?protocol=pypi",
        f"/api/v1/artifacts/{wanted.sha256}",
        f"/api/v1/log/proof?sha256={wanted.sha256}",
        "/tlog/checkpoint",
        "/tlog/tile/entries/000",
        "/tlog/verify.pyz",
        "/api/v1/queues",
        "/api/v1/queues/events",
        "/api/v1/admin/blocks",
        "/ui/queues",
        "/nothing/here",
    ]
    for path in paths:
        for method in ("GET", "HEAD"):
            answer = raw_request(closed, path, method)
            show(
                "api",
                "no token",
                f"{method} {path.replace(wanted.sha256, 'SHA256')[-38:]}",
                str(answer.status),
            )
            assert answer.status == 401, path


def test_kept_resolution_of_blocked_bytes__is_refused(
    orchard: Cluster, offer: Offering, block: Callable[..., None], show: Show
) -> None:
    wanted = offer("pypi", size_bytes=1000)
    port = orchard.gateway.port
    assert raw_request(port, wanted.path).complete
    kept = f"/api/v1/artifacts/{wanted.sha256}/resolution"
    wait_until(lambda: raw_request(port, kept).headers.get("x-cache") == "HIT", seconds=30, what="the graph")
    block(sha256=wanted.sha256)
    answer = raw_request(port, kept)
    show("api", "sha256 blocked", "kept resolution", str(answer.status))
    assert answer.status == 403
