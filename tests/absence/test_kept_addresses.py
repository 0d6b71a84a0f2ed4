"""A kept address is never taken for dead before its page was looked at again, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from shared.cache.keys import head_key
from shared.cache.values import decode_head, encode
from shared.protocols import protocol_named
from tests.support import npm_builders
from tests.support.builders import wheel_file
from tests.support.orchard import Cluster, cluster, problem
from tests.support.upstream import Fault, Upstream

DEAD = (400, 401, 403, 404, 410)


@dataclass(frozen=True)
class Signed:
    """A file whose address holds a token: `renew` has the page tell another one."""

    page: str
    old: str
    new: str
    orchard_page: str
    orchard: str
    renew: Callable[[], None]
    whole: bytes


def pypi(upstream: Upstream, name: str, **options: bool) -> Signed:
    wheel = wheel_file(name, "1.0")
    metadata = {wheel.filename: wheel.metadata} if options.get("metadata") and wheel.metadata else None

    def publish(prefix: str) -> str:
        page = upstream.add_project(
            name, {wheel.filename: wheel.content}, prefix=prefix, sizes=False, metadata=metadata
        )
        upstream.put(f"/simple/{name}/", upstream.reply(page))
        return f"{prefix}/files/{name}/{wheel.filename}"

    old = publish("/old")
    path = f"/pypi/files/{name}/{wheel.sha256}/{wheel.filename}"
    end = ".metadata" if metadata else ""
    whole = wheel.metadata if metadata and wheel.metadata else wheel.content
    return Signed(
        f"/simple/{name}/",
        old + end,
        old.replace("/old", "/new") + end,
        f"/pypi/simple/{name}/",
        path + end,
        lambda: publish("/new") and None,
        whole,
    )


def pypi_metadata(upstream: Upstream, name: str) -> Signed:
    return pypi(upstream, name, metadata=True)


def npm(upstream: Upstream, name: str) -> Signed:
    tarball = npm_builders.publish(upstream, name, {"1.0.0": {}})["1.0.0"]
    old = npm_builders.tarball_path(name, "1.0.0")
    new = f"/elsewhere{old}"

    def renew() -> None:
        upstream.put(new, tarball)
        document = npm_builders.build_packument(upstream.url, name, {"1.0.0": tarball})
        document["versions"]["1.0.0"]["dist"]["tarball"] = upstream.url + new
        npm_builders.put_packument(upstream, document)

    filename = npm_builders.base_name(name, "1.0.0")
    page = npm_builders.packument_path(name)
    return Signed(page, old, new, f"/npm/{name}", f"/npm/{name}/-/{filename}", renew, tarball)


SHOPS = {"pypi": pypi, "pypi_metadata": pypi_metadata, "npm": npm}


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream) as running:
        yield running


@pytest.mark.parametrize("way", ["GET", "HEAD", "range"])
@pytest.mark.parametrize("status", DEAD)
@pytest.mark.parametrize("kind", SHOPS)
def test_address_that_died__its_page_tells_another__file_comes_from_there(
    orchard: Cluster, upstream: Upstream, kind: str, status: int, way: str
) -> None:
    signed = SHOPS[kind](upstream, f"{kind.replace('_', '-')}-{status}-{way.lower()}")
    assert orchard.get(signed.orchard_page).status_code == 200
    _age(orchard, signed)
    upstream.fault(signed.old, Fault(status=status))
    signed.renew()
    headers = {"range": "bytes=0-9"} if way == "range" else {}
    method = "HEAD" if way == "HEAD" else "GET"
    answer = httpx.request(method, orchard.url(signed.orchard), headers=headers, timeout=30, trust_env=False)
    assert answer.status_code in (200, 206), answer.text
    if way == "GET":
        assert answer.content == signed.whole
    if way == "range":
        assert answer.content in (signed.whole, signed.whole[:10])
    assert upstream.count(signed.page) == 2 or (kind, way) == ("npm", "HEAD")


@pytest.mark.parametrize(("status", "told"), [(401, 403), (403, 403), (404, 404), (410, 404)])
@pytest.mark.parametrize("kind", ["pypi", "npm"])
def test_address_that_died__its_page_says_the_same__answer_stands_and_page_is_asked_once(
    orchard: Cluster, upstream: Upstream, kind: str, status: int, told: int
) -> None:
    signed = SHOPS[kind](upstream, f"{kind}-same-{status}")
    assert orchard.get(signed.orchard_page).status_code == 200
    _age(orchard, signed)
    upstream.fault(signed.old, Fault(status=status))
    for _ in range(3):
        answer = orchard.get(signed.orchard)
        assert answer.status_code == told, problem(answer)
    assert upstream.count(signed.page) == 2


def _age(orchard: Cluster, signed: Signed) -> None:
    """The kept page came a minute ago: its head says so from now on."""
    protocol = protocol_named("npm" if signed.page.startswith("/npm") else "pypi")
    redis = orchard.client(orchard.cache)
    key = head_key(protocol.name, protocol.grammar.index_identity(signed.page.strip("/").rpartition("/")[2]))
    head = decode_head(redis.get(key))
    assert head is not None
    redis.set(key, encode(msgspec.structs.replace(head, fetched_at=head.fetched_at - 60)), keepttl=True)
