"""HEAD of a file that is not stored: what GET would say, in every protocol."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.support import npm_builders
from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Repository
from tests.support.orchard import Cluster
from tests.support.upstream import Reply, Upstream

_numbers = itertools.count(1)
LOGIN = b"<html>log in</html>"


@dataclass(frozen=True)
class Cold:
    """A file that nobody has asked for."""

    path: str  # at Orchard
    upstream_path: str
    body: bytes


def _pypi(orchard: Cluster, upstream: Upstream) -> Cold:
    name = f"head{next(_numbers)}"
    wheel = f"{name}-1.0-py3-none-any.whl"
    body = build_wheel(name, "1.0")
    upstream.add_project(name, {wheel: body}, hashes=(), sizes=False)
    return Cold(orchard.file_path(name, wheel), f"/files/{name}/{wheel}", body)


def _pypi_hashed(orchard: Cluster, upstream: Upstream) -> Cold:
    name = f"head{next(_numbers)}"
    wheel = f"{name}-1.0-py3-none-any.whl"
    body = build_wheel(name, "1.0")
    upstream.add_project(name, {wheel: body}, sizes=False)
    return Cold(orchard.file_path(name, wheel), f"/files/{name}/{wheel}", body)


def _npm(orchard: Cluster, upstream: Upstream) -> Cold:
    name = f"head{next(_numbers)}"
    body = npm_builders.publish(upstream, name, {"1.0.0": {}})["1.0.0"]
    address = orchard.get(f"/npm/{name}").json()["versions"]["1.0.0"]["dist"]["tarball"]
    return Cold(httpx.URL(address).path, npm_builders.tarball_path(name, "1.0.0"), body)


def _maven(orchard: Cluster, upstream: Upstream) -> Cold:
    path = Repository(upstream).add("org.demo", f"head{next(_numbers)}", "1.0")
    return Cold(f"/maven/{path}", f"/maven/{path}", upstream.reply(f"/maven/{path}").body)


def _cargo(orchard: Cluster, upstream: Upstream) -> Cold:
    name, registry = f"head{next(_numbers)}", Registry(upstream)
    body = registry.add(name, "1.0.0")
    return Cold(f"/cargo/dl/{name}/1.0.0/download", registry.file(name, "1.0.0"), body)


FILES: dict[str, Callable[[Cluster, Upstream], Cold]] = {
    "pypi": _pypi, "pypi hashed": _pypi_hashed, "npm": _npm, "maven": _maven, "cargo": _cargo,
}  # fmt: skip


def head(orchard: Cluster, path: str) -> httpx.Response:
    return httpx.head(orchard.url(path), trust_env=False, timeout=20)


@pytest.mark.parametrize("refuses_head", [False, True])
@pytest.mark.parametrize("kind", FILES)
def test_login_page_in_its_place__head_says_what_get_says(
    orchard: Cluster, upstream: Upstream, kind: str, refuses_head: bool
) -> None:
    cold = FILES[kind](orchard, upstream)
    page = Reply(LOGIN, "text/html; charset=utf-8", refuses_head=refuses_head)
    upstream.put(cold.upstream_path, page)
    told = head(orchard, cold.path)
    assert told.status_code == 403 == orchard.get(cold.path).status_code


@pytest.mark.parametrize("refuses_head", [False, True])
@pytest.mark.parametrize("kind", FILES)
def test_file_that_its_server_calls_a_page__head_tells_its_size(
    orchard: Cluster, upstream: Upstream, kind: str, refuses_head: bool
) -> None:
    cold = FILES[kind](orchard, upstream)
    upstream.put(cold.upstream_path, Reply(cold.body, "text/html", refuses_head=refuses_head))
    told = head(orchard, cold.path)
    assert (told.status_code, told.headers["content-length"]) == (200, str(len(cold.body)))
    assert orchard.get(cold.path).content == cold.body


@pytest.mark.parametrize("ranges", [False, True])
def test_page_by_its_own_name__head_tells_its_size(
    orchard: Cluster, upstream: Upstream, ranges: bool
) -> None:
    name = f"head{next(_numbers)}"
    path = f"org/demo/{name}/1.0/{name}-1.0-report.html"
    upstream.put(f"/maven/{path}", Reply(LOGIN, "text/html", refuses_head=True, ranges=ranges))
    upstream.put(f"/maven/{path}.sha1", hashlib.sha1(LOGIN).hexdigest().encode())
    told = head(orchard, f"/maven/{path}")
    assert (told.status_code, told.headers["content-length"]) == (200, str(len(LOGIN)))
