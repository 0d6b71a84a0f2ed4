"""Two gateways behind Varnish with the configuration of deploy/edge: what it keeps, and what it must not."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.edge import TOKEN, Varnish, needs_varnish, varnish
from tests.support.npm_builders import packument_path, publish
from tests.support.orchard import JSON, Cluster, cluster, free_port, wait_until
from tests.support.upstream import Upstream

pytestmark = needs_varnish

Names = Callable[[], str]
ADMIN = {"authorization": "Bearer operators-token-of-tests"}
WITHIN = 10.0  # seconds


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, port: int) -> Iterator[Cluster]:
    with cluster(
        tmp_path_factory.mktemp("orchard"),
        upstream,
        gateways=2,
        ORCHARD_ADMIN_TOKEN=ADMIN["authorization"].split()[1],
        ORCHARD_EDGE="true",
        ORCHARD_EDGE_PURGE=f"http://127.0.0.1:{port}",
        ORCHARD_EDGE_TOKEN=TOKEN,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, orchard: Cluster, port: int) -> Iterator[Varnish]:
    gateways = [each.port for each in orchard.all_of("gateway")]
    with varnish(tmp_path_factory.mktemp("edge"), port, gateways) as running:
        yield running


def get(edge: Varnish, path: str, **headers: str) -> httpx.Response:
    headers = {"accept": JSON, **headers}
    return httpx.get(edge.base + path, headers=headers, timeout=30, trust_env=False)


def kept(edge: Varnish, path: str, **headers: str) -> httpx.Response:
    """An answer of the edge's own memory."""
    found: list[httpx.Response] = []

    def is_kept() -> bool:
        found[:] = [get(edge, path, **headers)]
        return found[0].headers.get("x-edge") == "HIT"

    wait_until(is_kept, seconds=WITHIN, what=f"the edge's own {path}")
    return found[0]


def comes(edge: Varnish, path: str, right: Callable[[httpx.Response], bool], what: str) -> None:
    wait_until(lambda: right(get(edge, path)), seconds=WITHIN, what=what)


def block(orchard: Cluster, **value: str) -> Callable[[], None]:
    address = orchard.url("/api/v1/admin/blocks")
    made = httpx.post(address, json={"reason": "it steals", **value}, headers=ADMIN, trust_env=False)
    assert made.status_code == 201, made.text

    def lift() -> None:
        httpx.delete(f"{address}/{made.json()['id']}", headers=ADMIN, trust_env=False).raise_for_status()

    return lift


def wheel_of(upstream: Upstream, name: str, version: str = "1.0") -> tuple[str, bytes]:
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    wheel = build_wheel(name, version)
    upstream.add_project(name, {filename: wheel})
    return filename, wheel


# --- kept -------------------------------------------------------------------------------------------------


def test_page_and_file__asked_again__come_from_the_edge_and_tell_what_orchard_tells(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = wheel_of(upstream, name)
    file = orchard.file_path(name, filename)
    page = kept(edge, f"/pypi/simple/{name}/")
    assert page.json()["files"][0]["filename"] == filename
    found = kept(edge, file)
    assert found.content == wheel
    direct = orchard.get(file)
    for each in ("etag", "cache-control", "content-type", "content-length", "last-modified"):
        assert found.headers[each] == direct.headers[each].partition(", s-maxage=")[0], each
    assert "s-maxage=" in direct.headers["cache-control"] and "surrogate-key" in direct.headers
    assert not {"surrogate-key", "xkey"} & set(found.headers)
    again = get(edge, file, **{"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_range_of_a_kept_file__is_cut_by_the_edge(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = wheel_of(upstream, name)
    file = orchard.file_path(name, filename)
    pieces: list[httpx.Response] = []

    def is_cut() -> bool:  # a purge of the project (what its wheel tells is there now) may come in between
        kept(edge, file)
        pieces.append(get(edge, file, range="bytes=10-19"))
        assert (pieces[-1].status_code, pieces[-1].content) == (206, wheel[10:20])
        return pieces[-1].headers["x-edge"] == "HIT"

    wait_until(is_cut, seconds=WITHIN, what="a piece of what the edge has")
    piece = pieces[-1]
    assert piece.headers["content-range"] == f"bytes 10-19/{len(wheel)}"


def test_head_of_a_cold_file__does_not_download_it(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = wheel_of(upstream, name)
    file = orchard.file_path(name, filename)
    before = upstream.count(method="GET")
    answer = httpx.head(edge.base + file, trust_env=False)
    assert answer.status_code == 200
    assert upstream.count(method="GET") == before


def test_codings_and_kinds__each_client_gets_its_own(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = wheel_of(upstream, name)
    page = f"/pypi/simple/{name}/"
    for _ in range(2):
        for accept, kind in ((JSON, "json"), ("text/html", "html")):
            for coding in ("gzip", "identity", "zstd, gzip", "zstd;q=0, gzip", "gzip;q=0"):
                answer = kept(edge, page, accept=accept, **{"accept-encoding": coding})
                assert kind in answer.headers["content-type"]
                told = answer.headers.get("content-encoding", "identity")
                assert told in coding.split(", ") or (told, coding) == ("identity", "gzip;q=0")
                assert filename in answer.text


def test_hosts__each_reads_its_own_address_and_none_chooses_anothers(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})

    def tarball(host: str, **more: str) -> str:
        answer = get(edge, packument_path(name), accept="*/*", host=host, **more)
        return str(answer.json()["versions"]["1.0.0"]["dist"]["tarball"])

    for _ in range(3):
        for host in ("127.0.0.1:1", "localhost:2"):
            forged = {"x-forwarded-host": "localhost:666", "x-forwarded-proto": "https"}
            assert tarball(host, **forged).startswith(f"http://{host}/npm/")
            assert tarball(host).startswith(f"http://{host}/npm/")


def test_origin__page_of_another_site__may_read_what_is_kept(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    wheel_of(upstream, name)
    kept(edge, f"/pypi/simple/{name}/")
    answer = get(edge, f"/pypi/simple/{name}/", origin="https://notebook.example.com")
    assert answer.headers["access-control-allow-origin"] == "*"


# --- purged -----------------------------------------------------------------------------------------------


def test_block__refused_through_the_edge_and_back(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = wheel_of(upstream, name)
    paths = f"/pypi/simple/{name}/", orchard.file_path(name, filename)
    for path in paths:
        kept(edge, path)
    lift = block(orchard, protocol="pypi", name=name.upper().replace("-", "_"))
    for path in paths:
        comes(edge, path, lambda answer: answer.status_code == 403, f"the block of {path}")
    lift()
    for path in paths:
        comes(edge, path, lambda answer: answer.status_code == 200, f"the return of {path}")
        kept(edge, path)


def test_policy_file__refused_through_the_edge_and_back(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = wheel_of(upstream, name)
    paths = f"/pypi/simple/{name}/", orchard.file_path(name, filename)

    def apply(policy: str) -> None:
        value = {"policy": policy, "yes": True}
        made = httpx.post(
            orchard.url("/api/v1/admin/policy"), json=value, headers=ADMIN, trust_env=False, timeout=30
        )
        assert made.status_code == 200, made.text

    for path in paths:  # older than the second purge after it was stored
        comes(edge, path, lambda answer: int(answer.headers.get("age", 0)) > 2, f"the edge's own {path}")
    apply(f"[[rule]]\nname = 'not this'\nnames = ['{name}']\nrefuse = true")
    for path in paths:
        comes(edge, path, lambda answer: answer.status_code == 403, f"the rule about {path}")
    apply("")
    for path in paths:
        comes(edge, path, lambda answer: answer.status_code == 200, f"the return of {path}")


def test_block_by_bytes__refused_through_the_edge(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = wheel_of(upstream, name)
    file = orchard.file_path(name, filename)
    sha256 = kept(edge, file).headers["etag"].strip('"')
    lift = block(orchard, sha256=sha256)
    comes(edge, file, lambda answer: answer.status_code == 403, "the block")
    comes(edge, f"/pypi/simple/{name}/", lambda answer: not answer.json()["files"], "the page without it")
    lift()


def test_page_that_changed_and_was_invalidated__comes_anew_through_the_edge(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    wheel_of(upstream, name)
    page = f"/pypi/simple/{name}/"
    kept(edge, page)
    newer, _ = wheel_of(upstream, name, "2.0")
    asked = {"protocol": "pypi", "project": name}
    address = orchard.url("/api/v1/admin/cache/invalidate")
    httpx.post(address, json=asked, headers=ADMIN, trust_env=False).raise_for_status()
    comes(edge, page, lambda answer: newer in answer.text, "the new page")


def test_edge_that_does_not_answer__has_forgotten_what_was_blocked_when_it_is_back(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, _ = wheel_of(upstream, name)
    page, file = f"/pypi/simple/{name}/", orchard.file_path(name, filename)
    kept(edge, page)
    kept(edge, file)
    edge.signal(signal.SIGSTOP)
    try:
        lift = block(orchard, protocol="pypi", name=name)
        wait_until(lambda: "edge_away" in orchard.logs(), what="the purge that failed")
    finally:
        edge.signal(signal.SIGCONT)
    for path in (page, file):
        comes(edge, path, lambda answer: answer.status_code == 403, f"the block of {path}")
    wait_until(lambda: "edge_back" in orchard.logs(), what="the purge that came through")
    lift()


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer a-guess-of-the-token"}])
def test_purge_by_a_stranger__refused(
    orchard: Cluster, edge: Varnish, upstream: Upstream, project: Names, headers: dict[str, str]
) -> None:
    name = project()
    wheel_of(upstream, name)
    kept(edge, f"/pypi/simple/{name}/")
    headers = {**headers, "surrogate-key": "orchard"}
    assert httpx.request("PURGE", edge.base, headers=headers, trust_env=False).status_code == 403


# --- tokens -----------------------------------------------------------------------------------------------


def test_reading_needs_a_token__nothing_is_kept_and_no_stranger_is_answered(
    orchard: Cluster, upstream: Upstream, project: Names, tmp_path: Path
) -> None:
    name = project()
    filename, wheel = wheel_of(upstream, name)
    file = orchard.file_path(name, filename)
    page = f"/pypi/simple/{name}/"
    closed = orchard.start("gateway", ORCHARD_ANONYMOUS_READ="false")
    try:
        with varnish(tmp_path / "edge", free_port(), [closed.port, closed.port]) as edge:
            for path in (page, file):
                for _ in range(3):
                    answer = get(edge, path, **ADMIN)
                    assert (answer.status_code, answer.headers["x-edge"]) == (200, "MISS")
                    assert answer.headers["cache-control"].startswith("private, max-age=")
                    assert "surrogate-key" not in httpx.get(closed.base + path, headers=ADMIN).headers
                    assert get(edge, path).status_code == 401
                    assert get(edge, path, authorization="Bearer another-token-here").status_code == 401
    finally:
        closed.stop()
        orchard.services.remove(closed)
    assert get_bytes(orchard, file) == wheel


def get_bytes(orchard: Cluster, path: str) -> bytes:
    return orchard.get(path).content


def test_what_is_for_operators__is_not_for_clients(edge: Varnish) -> None:
    for name in ("metrics", "health"):
        for path in (f"/{name}", f"//{name}", f"/{name}/", f"/{name}?x", f"/%{ord(name[0]):x}{name[1:]}"):
            assert get(edge, path).status_code == 404, path
    for path in ("/health/ready", "/health/identity", "/health/live/"):
        assert get(edge, path).status_code == 404, path
    assert get(edge, "/health/live").status_code == 200
