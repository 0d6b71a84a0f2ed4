"""Locks that clients made, through every service: those files and no others, or by name what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.builders import build_sdist, build_wheel
from tests.support.maven_builders import Repository, build_pom
from tests.support.npm_builders import publish as publish_npm
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
TOKEN = "an-operators-token"
OTHER = "0" * 64


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": TOKEN}


def answer_to(orchard: Cluster, body: str | bytes, **query: str) -> httpx.Response:
    """The end of an ensure."""
    answer = httpx.post(
        orchard.url("/api/v1/ensure"), content=body, params=query, timeout=30, trust_env=False
    )
    if answer.status_code == 202:
        location = answer.headers["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=60, what="the end of the ensure")
        answer = orchard.get(location)
    return answer


def lock_of(orchard: Cluster, body: str | bytes, **query: str) -> dict[str, Any]:
    answer = answer_to(orchard, body, **query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def missing_of(lock: dict[str, Any]) -> dict[str, str]:
    assert lock["complete"] is (not lock["missing"])
    return {each.get("filename") or each["name"]: each["cause"] for each in lock["missing"]}


def publish(upstream: Upstream, name: str, version: str = "1.0") -> dict[str, str]:
    """A wheel and an sdist; their SHA256 by file name."""
    files = {
        f"{name}-{version}-py3-none-any.whl": build_wheel(name, version),
        f"{name}-{version}.tar.gz": build_sdist(name, version),
    }
    upstream.add_project(name, files)
    return {filename: hashlib.sha256(body).hexdigest() for filename, body in files.items()}


def uv_lock(
    name: str, hashes: dict[str, str], source: str = 'registry = "https://packages.example.com/"'
) -> str:
    wheels = "".join(
        f'    {{ url = "https://files.example.com/a/{filename}", hash = "sha256:{sha256}" }},\n'
        for filename, sha256 in hashes.items()
    )
    head = f'version = 1\n[[package]]\nname = "{name}"\nversion = "1.0"\nsource = {{ {source} }}\n'
    return f"{head}wheels = [\n{wheels}]\n"


def test_every_file_of_a_lock__is_stored__and_the_same_bytes_answer_for_ever(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project().replace("-", "")
    hashes = publish(upstream, name)
    answer = answer_to(orchard, uv_lock(name, hashes), name="uv.lock")
    lock = answer.json()
    assert missing_of(lock) == {} and lock["files"] == 2
    packages = {each["filename"]: each for each in lock["protocols"]["pypi"]["packages"]}
    assert {filename: each["sha256"] for filename, each in packages.items()} == hashes
    upstream.fault("*", Fault(status=503))
    assert answer_to(orchard, uv_lock(name, hashes), kind="uv.lock").content == answer.content
    for package in packages.values():
        assert hashlib.sha256(orchard.get(package["path"]).content).hexdigest() == package["sha256"]
    export = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/requirements.txt").text
    assert f"{name}==1.0" in export and all(f"--hash=sha256:{each}" in export for each in hashes.values())
    pins = lock_of(orchard, export, name="requirements.txt")
    assert {each["sha256"] for each in pins["protocols"]["pypi"]["packages"]} == set(hashes.values())


def test_what_differs_is_absent_or_of_no_registry__is_named_and_nothing_else(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name, gone, git = (project().replace("-", "") for _ in range(3))
    hashes = publish(upstream, name)
    wheel, sdist = hashes
    absent = f"{name}-1.0-py2-none-any.whl"
    text = uv_lock(name, {wheel: OTHER, sdist: hashes[sdist], absent: OTHER})
    text += uv_lock(gone, {f"{gone}-1.0.tar.gz": OTHER}).removeprefix("version = 1\n")
    text += uv_lock(git, {}, f'git = "https://git.example.com/{git}"').removeprefix("version = 1\n")
    lock = lock_of(orchard, text, name="uv.lock")
    assert missing_of(lock) == {
        wheel: "differs", absent: "absent", f"{gone}-1.0.tar.gz": "absent", git: "elsewhere"
    }  # fmt: skip
    assert [each["filename"] for each in lock["protocols"]["pypi"]["packages"]] == [sdist]
    assert (
        problem(orchard.get(f"/api/v1/ensures/{lock['key']}/exports/bom.cdx.json"))["code"]
        == "ensure_incomplete"
    )


def test_a_blocked_version__is_refused__whether_stored_or_not(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project().replace("-", "")
    hashes = publish(upstream, name)
    wheel, sdist = hashes
    assert missing_of(lock_of(orchard, uv_lock(name, {wheel: hashes[wheel]}), name="uv.lock")) == {}
    made = httpx.post(
        orchard.url("/api/v1/admin/blocks"),
        json={"protocol": "pypi", "name": name, "version": "1.0", "reason": "it steals"},
        headers={"authorization": f"Bearer {TOKEN}"},
        timeout=30,
        trust_env=False,
    )
    assert made.status_code == 201, made.text
    kept = answer_to(orchard, uv_lock(name, {wheel: hashes[wheel]}), name="uv.lock")
    assert (kept.status_code, problem(kept)["code"]) == (403, "blocked")
    tries = iter(range(1000))

    def is_refused() -> (
        bool
    ):  # each time another lock, since one that lacks something lies ready for a minute
        other = f"{name}-1.{next(tries)}.tar.gz"
        answer = answer_to(orchard, uv_lock(name, {**hashes, other: OTHER}), name="uv.lock")
        found = missing_of(answer.json()) if answer.status_code == 200 else {}
        return {found.get(wheel), found.get(sdist)} == {"refused"}

    wait_until(is_refused, seconds=60, what="the block to be known to the extractor")


def test_an_upstream_that_fails__is_not_absence(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project().replace("-", "")
    hashes = publish(upstream, name)
    upstream.fault(f"/simple/{name}/", Fault(status=503))
    lock = lock_of(orchard, uv_lock(name, hashes), name="uv.lock")
    assert set(missing_of(lock).values()) == {"failed"}
    assert all(each["passing"] for each in lock["missing"])


def test_locks_of_gradle__exactly_their_files__a_module_without_a_jar_lacks_nothing(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project().replace("-", "")
    repository = Repository(upstream)
    folder = Path(repository.add("com.example", name, "1.0")).parent
    bom = build_pom("com.example", f"{name}-bom", "1.0", packaging="pom")
    upstream.put(f"/maven/com/example/{name}-bom/1.0/{name}-bom-1.0.pom", bom)
    text = f"com.example:{name}:1.0=a\ncom.example:{name}-bom:1.0=a\n"
    lock = lock_of(orchard, text, name="gradle.lockfile")
    files = {each["filename"]: each["sha256"] for each in lock["protocols"]["maven"]["packages"]}
    assert set(files) == {f"{name}-1.0.pom", f"{name}-1.0.jar", f"{name}-bom-1.0.pom"}
    assert [each["filename"] for each in lock["protocols"]["maven"]["unresolved"]] == [f"{name}-bom-1.0.jar"]
    jar = httpx.get(f"{upstream.url}/maven/{folder}/{name}-1.0.jar", trust_env=False).content
    assert files[f"{name}-1.0.jar"] == hashlib.sha256(jar).hexdigest()

    def verification(sha512: str) -> str:
        artifact = f'<artifact name="{name}-1.0.jar"><sha512 value="{sha512}"/></artifact>'
        component = f'<component group="com.example" name="{name}" version="1.0">{artifact}</component>'
        return f"<verification-metadata><components>{component}</components></verification-metadata>"

    right = lock_of(orchard, verification(hashlib.sha512(jar).hexdigest()), kind="verification-metadata.xml")
    assert right["complete"] and right["files"] == 1
    wrong = lock_of(orchard, verification("0" * 128), kind="verification-metadata.xml")
    assert missing_of(wrong) == {f"{name}-1.0.jar": "differs"}


def test_exports__those_that_need_requirements_are_refused(orchard: Cluster, upstream: Upstream) -> None:
    publish_npm(upstream, "orchard-pinned", {"1.0.0": {}})
    text = json.dumps(
        {"lockfileVersion": 3, "packages": {"node_modules/orchard-pinned": {"version": "1.0.0"}}}
    )
    lock = lock_of(orchard, text, name="package-lock.json")
    assert lock["complete"] and lock["files"] == 1
    answer = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/package.json")
    assert (answer.status_code, problem(answer)["code"]) == (404, "ensure_not_found")


def test_its_own_bill_of_materials__names_the_same_files(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project().replace("-", "")
    lock = lock_of(orchard, uv_lock(name, publish(upstream, name)), name="uv.lock")
    bom = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/bom.cdx.json").content
    again = lock_of(orchard, bom, name="bom.cdx.json")
    assert again["protocols"] == lock["protocols"] and again["complete"]


@pytest.mark.parametrize(
    ("query", "body", "said"),
    [
        ({"kind": "uv.lok"}, "x", "did you mean 'uv.lock'"),
        ({"kind": "uv.lock"}, "version = 2", "only 1 of uv.lock"),
        (
            {"name": "uv.lock"},
            "version = 1\n[[package]]\nname = 'a b'\nsource = {registry = 'x'}",
            "package 1, `a b`: its name cannot",
        ),
    ],
)
def test_what_cannot_be_read__422_with_the_place(
    orchard: Cluster, query: dict[str, str], body: str, said: str
) -> None:
    answer = answer_to(orchard, body, **query)
    assert (answer.status_code, problem(answer)["code"]) == (422, "ensure_invalid") and said in answer.text


def test_as_large_as_a_lock_and_not_said_to_be_one__413_with_what_to_say(orchard: Cluster) -> None:
    answer = answer_to(orchard, "x" * (300 * 1024))
    assert (answer.status_code, problem(answer)["code"]) == (413, "request_too_large")
    assert "at most 262144 bytes" in answer.text and "name= or kind=" in answer.text


def test_a_hundred_megabytes__are_refused_before_they_are_read(orchard: Cluster) -> None:
    address = urlsplit(orchard.url("/"))
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=30)) as connection:
        connection.putrequest("POST", "/api/v1/ensure?name=uv.lock")
        connection.putheader("content-length", str(100 * 1024 * 1024))
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, answer.headers["x-orchard-error"]) == (413, "request_too_large")
