"""Upstream's answer × kind of resource × protocol → status, headers, words; printed with `-s`.

Rule (docs/errors.md): 503 with Retry-After only where a retry can cure, 404 only where the upstream says so,
everything else a status that no client retries, with the upstream's own words of a decision.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.answers.upstreams_say import ANSWERS, Answer
from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry, index_path
from tests.support.maven_builders import Repository
from tests.support.npm_builders import PREFIX, packument_path, publish, tarball_path, version_path
from tests.support.orchard import Cluster
from tests.support.orchard import problem as problem_in
from tests.support.upstream import Fault, Reply, Upstream

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Thing:
    """Something that was just published: where the upstream has it and where Orchard does."""

    upstream_path: str
    path: str
    noun: str  # what an answer must name


def _pypi_page(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    upstream.add_project(name, {f"{name}-1.0-py3-none-any.whl": build_wheel(name, "1.0")})
    return Thing(f"/simple/{name}/", f"/pypi/simple/{name}/", name)


def _pypi_file(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    filename = f"{name}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: build_wheel(name, "1.0")})
    return Thing(f"/files/{name}/{filename}", orchard.file_path(name, filename), filename)


def _npm_page(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    publish(upstream, name, {"1.0.0": {}})
    return Thing(packument_path(name), f"/npm/{name}", name)


def _npm_version(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    publish(upstream, name, {"1.0.0": {}})
    return Thing(version_path(name, "1.0.0"), f"/npm/{name}/1.0.0", name)


def _npm_file(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    publish(upstream, name, {"1.0.0": {}})
    return Thing(tarball_path(name, "1.0.0"), f"/npm/{name}/-/{name}-1.0.0.tgz", f"{name}-1.0.0.tgz")


def _maven_page(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    path = Repository(upstream).add_metadata("org.demo", name, ["1.0"])
    return Thing(f"/maven/{path}", f"/maven/{path}", name)


def _maven_file(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    path = Repository(upstream).add("org.demo", name, "1.0")
    return Thing(f"/maven/{path}", f"/maven/{path}", f"{name}-1.0.jar")


def _cargo_page(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    registry = Registry(upstream)
    registry.add(name, "1.0.0")
    return Thing(registry.index(name), f"/cargo/{index_path(name)}", name)


def _cargo_file(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    registry = Registry(upstream)
    registry.add(name, "1.0.0")
    return Thing(registry.file(name, "1.0.0"), f"/cargo/dl/{name}/1.0.0/download", f"{name}-1.0.0.crate")


def _npm_search(orchard: Cluster, upstream: Upstream, name: str) -> Thing:
    upstream.put(f"{PREFIX}/-/v1/search", Reply(b'{"objects":[],"total":0}', "application/json", etag=""))
    return Thing(f"{PREFIX}/-/v1/search", f"/npm/-/v1/search?text={name}", "the upstream")


THINGS: dict[str, Callable[[Cluster, Upstream, str], Thing]] = {
    "pypi page": _pypi_page,
    "pypi file": _pypi_file,
    "npm page": _npm_page,
    "npm version": _npm_version,
    "npm file": _npm_file,
    "npm search": _npm_search,
    "maven page": _maven_page,
    "maven file": _maven_file,
    "cargo page": _cargo_page,
    "cargo file": _cargo_file,
}
# What some kinds read otherwise, and why.
OTHERWISE: dict[tuple[str, str], int] = {
    # What is passed on is not judged, and what is about the request goes back to who made it.
    ("npm search", "200 a login page"): 200,
    ("npm search", "200 nothing"): 200,
    ("npm search", "400"): 400,
    ("npm search", "501"): 404,  # not offered
    ("cargo page", "451"): 404,  # the registry index says so of crates that it does not have
}


def _faults(kind: str, told: str, answer: Answer, response: httpx.Response, noun: str) -> list[str]:
    """What is wrong with an answer of Orchard."""
    wanted = OTHERWISE.get((kind, told), answer.file if kind.endswith("file") else answer.page)
    status, headers = response.status_code, response.headers
    wrong = [f"{status}, not {wanted}"] if status != wanted else []
    if status == 200 or (kind, told) in OTHERWISE:
        return wrong
    problem = problem_in(response)
    if problem["status"] != status:
        wrong.append("the document tells another status")
    if ("retry-after" in headers) != (status == 503):
        wrong.append("Retry-After" if status != 503 else "no Retry-After")
    if status not in (404,) and headers["cache-control"] != "no-store":
        wrong.append("it may be kept")
    words = problem.get("error") or problem["detail"]  # npm's clients read the first
    if answer.words not in words or "[0m" in words:
        wrong.append(f"lacks the upstream's words: {words}")
    if status == 404 and noun not in words:
        wrong.append(f"does not name {noun}: {words}")
    if "127.0.0.1" in response.text:
        wrong.append(f"tells an address: {words}")
    return wrong


@pytest.mark.parametrize("kind", THINGS)
def test_answer__becomes_what_the_table_says(orchard: Cluster, upstream: Upstream, kind: str) -> None:
    rows, wrong = [], []
    for told, answer in ANSWERS.items():
        thing = THINGS[kind](orchard, upstream, f"demo{next(_numbers)}")
        if answer.fault != Fault():
            upstream.fault(thing.upstream_path, answer.fault)
        response = orchard.get(thing.path)
        upstream.heal()
        problem = {} if response.status_code == 200 else response.json()
        retry = response.headers.get("retry-after", "")
        code, detail = problem.get("code", ""), problem.get("detail", "")
        rows.append(f"{kind:12} {told:26} {response.status_code} {code:22} {retry:3} {detail[:70]}")
        wrong += [f"{told}: {each}" for each in _faults(kind, told, answer, response, thing.noun)]
        if response.status_code == 503:
            _healthy_again(orchard, upstream, kind)
    print("\n".join(["", *rows]))
    assert not wrong, "\n".join(wrong)


def _healthy_again(orchard: Cluster, upstream: Upstream, kind: str) -> None:
    """What failed before must not have the next row left alone."""
    with orchard.client(orchard.cache) as client:
        for key in client.scan_iter(match="orchard:upstream_sources:*:breaker:*"):
            client.delete(key)
    thing = THINGS[kind](orchard, upstream, f"demo{next(_numbers)}")
    orchard.get(thing.path)
