"""Reading ahead in each protocol: one document that a client asked for leads to all that follow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from shared.queue.jobs import Asker, FetchArtifact, FetchIndex
from tests.services.fetcher.ahead.test_machine import quiet, until
from tests.services.fetcher.conftest import running_fetcher
from tests.support import npm_builders
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Dep, Repository
from tests.support.upstream import Upstream


@dataclass(frozen=True)
class Case:
    """A graph a → b → c → a, published by `publish`; `asked` is a client's job about a, `paths` those of b
    and c upstream."""

    protocol: str
    publish: Callable[[Upstream], None]
    asked: FetchIndex | FetchArtifact
    paths: Sequence[str]
    guess: str  # the job's id about b
    is_sure: bool = False  # b leads on before anybody asked for it


def _npm(upstream: Upstream) -> None:
    for name, needs in (("a", "b"), ("b", "c"), ("c", "a")):
        npm_builders.publish(upstream, name, {"1.0.0": {"dependencies": {needs: "^1"}}})


def _cargo(upstream: Upstream) -> None:
    registry = Registry(upstream)
    for name, needs in (("a", "b ^1"), ("b", "c ^1"), ("c", "a ^1")):
        registry.add(name, "1.0.0", [needs])


def _maven(upstream: Upstream) -> None:
    repository = Repository(upstream)
    for name, needs in (("a", "b"), ("b", "c"), ("c", "a")):
        repository.add("g", name, "1", [Dep("g", needs, "1")])


CASES = [
    Case(
        "npm",
        _npm,
        FetchIndex(
            "npm",
            "packument/a",
            base_url="http://x.example.com/npm",
            variant="abbreviated.gzip",
            asker=Asker("client", "npm"),
        ),
        ["/npm/b", "/npm/c"],
        "index:npm:packument/b",
    ),
    Case(
        "cargo",
        _cargo,
        FetchIndex("cargo", "index/a", variant="lines.gzip", asker=Asker("client", "cargo")),
        ["/cargo/1/b", "/cargo/1/c"],
        "index:cargo:index/b",
    ),
    Case(
        "maven",
        _maven,
        FetchArtifact("maven", "g:a", "1", "a-1.pom", asker=Asker("client", "apache-maven")),
        ["/maven/g/b/1/b-1.pom", "/maven/g/c/1/c-1.pom"],
        "artifact:maven:g:b/1/b-1.pom",
        is_sure=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.protocol)
async def test_document__of_a_client__leads_to_the_rest_of_its_graph(
    upstream: Upstream, environ: dict[str, str], case: Case
) -> None:
    case.publish(upstream)
    root = {
        f"ORCHARD_{name.upper()}_UPSTREAM": f"{upstream.url}/{name}/" for name in ("npm", "cargo", "maven")
    }
    async with running_fetcher(upstream, environ | root) as fetcher:
        await fetcher.ended(case.asked)
        first, second = case.paths
        await until(lambda: bool(upstream.count(first)))
        await quiet(fetcher)
        assert bool(upstream.count(second)) == case.is_sure
        await fetcher.queue.announce("asked", [case.guess])
        await until(lambda: bool(upstream.count(second)))
        await quiet(fetcher)
        assert [upstream.count(path) for path in case.paths] == [1, 1]
