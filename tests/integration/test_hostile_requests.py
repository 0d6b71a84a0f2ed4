"""Requests that must be refused before any key, job or upstream request; and never by a 500."""

from __future__ import annotations

import socket

import pytest

from tests.support.orchard import Cluster
from tests.support.upstream import Upstream

REFUSED = [
    "/pypi/simple/../x/",
    "/pypi/simple/%2e%2e/",
    "/pypi/simple/..%2f..%2fetc/",
    "/pypi/simple/%2f%2f..%2f/",
    "/pypi/simple/%252e%252e/",
    "/pypi/simple/a\\b/",
    "/pypi/simple/a;x=y/",
    "/pypi/simple/a%00b/",
    "/pypi/simple/a%0d%0ab/",
    "/pypi/simple/a%7f/",
    "/pypi/simple/%ff/",
    "/pypi/simple/%c0%ae%c0%ae/",
    "/pypi/simple/%ed%a0%80/",
    "/pypi/simple/%e2%84%aaelvin/",
    "/pypi/simple/" + "a" * 9000 + "/",
    "/pypi/simple//evil/",
    "//evil.example.com/pypi/simple/x/",
    "/pypi/files/x/" + "0" * 64 + "/..%2fx-1.0.tar.gz",
    "/pypi/files/x/nothex/x-1.0.tar.gz",
    "/pypi/files/../" + "0" * 64 + "/x-1.0.tar.gz",
    "/pypi/files/X.Y/" + "0" * 64 + "/a%2fb-1.0.tar.gz",
    "/pypi/pypi/../json",
    "/pypi/nothing/here",
    "/nothing",
    "/v/some-view/pypi/simple/x/",
]


def _status(orchard: Cluster, target: str, method: str = "GET", extra: bytes = b"") -> int:
    """The status of a request whose target is sent exactly as written (0: closed without an answer)."""
    with socket.create_connection(("127.0.0.1", orchard.gateway.port), timeout=10) as connection:
        connection.sendall(
            f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode("latin-1")
            + extra
            + b"Connection: close\r\n\r\n"
        )
        answer = b""
        while b"\r\n" not in answer:
            block = connection.recv(65536)
            if not block:
                return 0
            answer += block
    return int(answer.split()[1])


@pytest.mark.parametrize("target", REFUSED, ids=lambda target: target[:40])
def test_hostile_path__4xx__nothing_reaches_upstream_or_keys(
    orchard: Cluster, upstream: Upstream, target: str
) -> None:
    requests, keys = len(upstream.requests), orchard.cache.command("DBSIZE")
    status = _status(orchard, target)
    assert status in (400, 404, 414)
    assert len(upstream.requests) == requests
    assert orchard.cache.command("DBSIZE") == keys


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "PATCH"])
def test_other_methods__405(orchard: Cluster, method: str) -> None:
    assert _status(orchard, "/pypi/simple/x/", method, b"Content-Length: 0\r\n") in (400, 405)


@pytest.mark.parametrize(
    "header",
    [
        b"Accept: " + b"a/b;q=" * 2000 + b"\r\n",
        b"Accept: \xff\xfe\r\n",
        b"Accept-Encoding: br;q=0,*;q=0\r\n",
        b"Range: bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(1000)) + b"\r\n",
        b"If-None-Match: " + b'"x",' * 2000 + b"\r\n",
    ],
    ids=["long accept", "binary accept", "no coding", "1000 ranges", "long etags"],
)
def test_odd_headers__an_answer_that_is_no_500(orchard: Cluster, upstream: Upstream, header: bytes) -> None:
    upstream.add_project("odd-headers", {"odd_headers-1.0.tar.gz": b"x" * 100})
    assert _status(orchard, "/pypi/simple/odd-headers/", "GET", header) in (200, 304, 400, 406, 431)


def test_own_via__refused_with_one_line(orchard: Cluster, upstream: Upstream) -> None:
    upstream.add_project("loop-me", {"loop_me-1.0.tar.gz": b"x" * 100})
    orchard.page("loop-me")
    via = upstream.seen("/simple/loop-me/")[0].headers["via"]
    answer = orchard.get("/pypi/simple/loop-me/", headers={"Via": via})
    assert answer.status_code == 508
    assert answer.json()["code"] == "proxy_loop"
    assert "ORCHARD_PYPI_UPSTREAM" in answer.json()["hint"]


def test_own_via_below_another_protocol__the_hint_names_that_one(
    orchard: Cluster, upstream: Upstream
) -> None:
    upstream.add_project("loop-me-too", {"loop_me_too-1.0.tar.gz": b"x" * 100})
    orchard.page("loop-me-too")
    via = upstream.seen("/simple/loop-me-too/")[0].headers["via"]
    answer = orchard.get("/npm/loop-me-too", headers={"Via": via})
    assert answer.status_code == 508
    assert "ORCHARD_NPM_UPSTREAM" in answer.json()["hint"]
