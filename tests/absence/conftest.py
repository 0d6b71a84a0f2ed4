"""A scripted upstream, and what each protocol publishes there: the documents that the tables go over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support import npm_builders
from tests.support.builders import wheel_file
from tests.support.cargo_builders import Registry, index_path
from tests.support.maven_builders import Repository
from tests.support.orchard import free_port
from tests.support.upstream import Upstream

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Document:
    """One thing that a client may ask for: where it is at the upstream and at Orchard."""

    upstream: str
    orchard: str
    name: str


def pypi_page(upstream: Upstream) -> Document:
    name = f"thing-{next(_numbers)}"
    wheel = wheel_file(name, "1.0")
    page = upstream.add_project(name, {wheel.filename: wheel.content})
    return Document(page, f"/pypi/simple/{name}/", name)


def pypi_file(upstream: Upstream) -> Document:
    name = f"thing-{next(_numbers)}"
    wheel = wheel_file(name, "1.0")
    upstream.add_project(name, {wheel.filename: wheel.content})
    path = f"/pypi/files/{name}/{wheel.sha256}/{wheel.filename}"
    return Document(f"/files/{name}/{wheel.filename}", path, name)


def npm_page(upstream: Upstream) -> Document:
    name = f"thing-{next(_numbers)}"
    npm_builders.publish(upstream, name, {"1.0.0": {}})
    return Document(npm_builders.packument_path(name), f"/npm/{name}", name)


def npm_file(upstream: Upstream) -> Document:
    name = f"thing-{next(_numbers)}"
    npm_builders.publish(upstream, name, {"1.0.0": {}})
    filename = npm_builders.base_name(name, "1.0.0")
    return Document(npm_builders.tarball_path(name, "1.0.0"), f"/npm/{name}/-/{filename}", name)


def maven_page(upstream: Upstream) -> Document:
    name = f"thing{next(_numbers)}"
    path = Repository(upstream).add_metadata("org.demo", name, ["1.0"])
    return Document(f"/maven/{path}", f"/maven/{path}", f"org.demo:{name}")


def maven_file(upstream: Upstream) -> Document:
    name = f"thing{next(_numbers)}"
    path = Repository(upstream).add("org.demo", name, "1.0")
    return Document(f"/maven/{path}", f"/maven/{path}", f"org.demo:{name}")


def cargo_page(upstream: Upstream) -> Document:
    name, registry = f"thing-{next(_numbers)}", Registry(upstream)
    registry.add(name, "1.0.0")
    return Document(registry.index(name), f"/cargo/{index_path(name)}", name)


def cargo_file(upstream: Upstream) -> Document:
    name, registry = f"thing-{next(_numbers)}", Registry(upstream)
    registry.add(name, "1.0.0")
    return Document(registry.file(name, "1.0.0"), f"/cargo/dl/{name}/1.0.0/download", name)


DOCUMENTS = {
    publish.__name__: publish
    for publish in (
        pypi_page,
        pypi_file,
        npm_page,
        npm_file,
        maven_page,
        maven_file,
        cargo_page,
        cargo_file,
    )
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(port=free_port()) as server:
        yield server
