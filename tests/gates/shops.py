"""One package of each protocol with one file: where it lies upstream, where here, and what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry, index_path
from tests.support.maven_builders import Repository
from tests.support.npm_builders import publish, tarball_path
from tests.support.orchard import Cluster
from tests.support.upstream import Reply, Upstream

SIZE_BYTES = 600_000  # over what is waited for instead of being relayed


@dataclass(frozen=True)
class Offer:
    """A published file. `beside`: answers that tell of it: pages, checksum files, attestations."""

    protocol: str
    name: str
    path: str
    upstream_path: str
    data: bytes
    beside: tuple[str, ...]

    @property
    def version(self) -> str:
        return "1.0.0" if self.protocol in ("npm", "cargo") else "1.0"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def pypi(orchard: Cluster, upstream: Upstream, name: str, size_bytes: int = SIZE_BYTES) -> Offer:
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    data = build_wheel(name, "1.0", size_bytes=size_bytes)
    upstream.add_project(name, {filename: data})
    path = f"/pypi/files/{name}/{hashlib.sha256(data).hexdigest()}/{filename}"
    beside = (f"{path}.metadata", f"/pypi/simple/{name}/", f"/pypi/pypi/{name}/1.0/json")
    return Offer("pypi", name, path, f"/files/{name}/{filename}", data, beside)


def npm(orchard: Cluster, upstream: Upstream, name: str, size_bytes: int = SIZE_BYTES) -> Offer:
    data = publish(upstream, name, {"1.0.0": {}}, size_bytes=size_bytes)["1.0.0"]
    path = f"/npm/{name}/-/{name}-1.0.0.tgz"
    return Offer("npm", name, path, tarball_path(name, "1.0.0"), data, (f"/npm/{name}", f"/npm/{name}/1.0.0"))


def maven(orchard: Cluster, upstream: Upstream, name: str, size_bytes: int = SIZE_BYTES) -> Offer:
    repository = Repository(upstream)
    path = repository.add("org.example", name, "1.0", size_bytes=size_bytes)
    metadata = repository.add_metadata("org.example", name, ["1.0"])
    reply = upstream.reply(f"/maven/{path}")
    beside = (f"/maven/{path}.sha1", f"/maven/{path.replace('.jar', '.pom')}", f"/maven/{metadata}")
    return Offer("maven", f"org.example:{name}", f"/maven/{path}", f"/maven/{path}", reply.body, beside)


def cargo(orchard: Cluster, upstream: Upstream, name: str, size_bytes: int = SIZE_BYTES) -> Offer:
    registry = Registry(upstream)
    data = registry.add(name, "1.0.0", size_bytes=size_bytes)
    beside = (f"/cargo/{index_path(name)}",)
    return Offer(
        "cargo", name, f"/cargo/dl/{name}/1.0.0/download", registry.file(name, "1.0.0"), data, beside
    )


Shop = Callable[..., Offer]
SHOPS: dict[str, Shop] = {"pypi": pypi, "npm": npm, "maven": maven, "cargo": cargo}


def spoil(upstream: Upstream, offer: Offer) -> bytes:
    """Let the upstream send other bytes of the same length than it promises."""
    middle = len(offer.data) // 2
    wrong = offer.data[:middle] + bytes([offer.data[middle] ^ 1]) + offer.data[middle + 1 :]
    upstream.put(offer.upstream_path, Reply(wrong))
    return wrong
