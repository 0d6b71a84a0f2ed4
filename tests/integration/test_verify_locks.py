"""`orchard verify LOCK`: each file that a lock names is stored here with its digest, and the log has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.tlog.signing import new_signer_text, read_signer
from tests.integration.test_pinned import OTHER, answer_to, lock_of, publish, uv_lock
from tests.services.cli.conftest import Command
from tests.support import npm_builders
from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Repository
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Upstream

KEY_TEXT = new_signer_text("logs.example/locks")
KEY = read_signer(KEY_TEXT).key
NOWHERE = {"ORCHARD_URL": "http://127.0.0.1:9"}
Names = Callable[[], str]


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_LOG_KEY": KEY_TEXT}


def pypi(upstream: Upstream, name: str) -> tuple[str, str, str]:
    hashes = publish(upstream, name)
    return "uv.lock", uv_lock(name, hashes), next(iter(hashes.values()))


def npm(upstream: Upstream, name: str) -> tuple[str, str, str]:
    (tarball,) = npm_builders.publish(upstream, name, {"1.0.0": {}}).values()
    told = npm_builders.integrity(tarball)
    packages = {f"node_modules/{name}": {"version": "1.0.0", "integrity": told}}
    return "package-lock.json", json.dumps({"lockfileVersion": 3, "packages": packages}), told


def maven(upstream: Upstream, name: str) -> tuple[str, str, str]:
    path = Repository(upstream).add("com.example", name, "1.0")
    sha512 = hashlib.sha512(upstream.reply(f"/maven/{path}").body).hexdigest()
    artifact = f'<artifact name="{name}-1.0.jar"><sha512 value="{sha512}"/></artifact>'
    component = f'<component group="com.example" name="{name}" version="1.0">{artifact}</component>'
    text = f"<verification-metadata><components>{component}</components></verification-metadata>"
    return "verification-metadata.xml", text, sha512


def cargo(upstream: Upstream, name: str) -> tuple[str, str, str]:
    sha256 = hashlib.sha256(Registry(upstream).add(name, "1.0.0")).hexdigest()
    source = 'source = "registry+https://index.example.com/x"'
    text = f'version = 4\n[[package]]\nname = "{name}"\nversion = "1.0.0"\n{source}\nchecksum = "{sha256}"\n'
    return "Cargo.lock", text, sha256


def bill(upstream: Upstream, name: str) -> tuple[str, str, str]:
    _, _, sha256 = cargo(upstream, name)
    hashes = [{"alg": "SHA-256", "content": sha256.upper()}]
    component = {"type": "library", "name": name, "purl": f"pkg:cargo/{name}@1.0.0", "hashes": hashes}
    return "bom.json", json.dumps({"bomFormat": "CycloneDX", "components": [component]}), sha256.upper()


KINDS = pytest.mark.parametrize("made", [pypi, npm, maven, cargo, bill])


def logged(orchard: Cluster, lock: dict[str, Any]) -> None:
    """Wait until the log has all of a lock of Orchard, and statements are made."""
    for protocol in lock["protocols"].values():
        for each in protocol["packages"]:
            for path in (f"log/proof?sha256={each['sha256']}", f"statements/sha256/{each['sha256']}"):
                wait_until(
                    lambda path=path: orchard.get(f"/api/v1/{path}").status_code == 200,
                    seconds=60,
                    what=path,
                )


def results(told: dict[str, Any]) -> dict[str, str]:
    (lock,) = told["files"]
    return {each.get("file") or each["name"]: each["result"] for each in lock["files"]}


@KINDS
def test_a_lock_of_every_kind__is_proven_once_its_files_are_admitted__and_differs_by_one_digit(
    orchard: Cluster, upstream: Upstream, project: Names, tmp_path: Path, made: Any
) -> None:
    name, text, digest = made(upstream, project().replace("-", ""))
    command = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    (tmp_path / name).write_text(text)
    asked = upstream.count()
    assert set(results(command.json("verify", name, exit_code=8)).values()) == {"absent"}
    assert upstream.count() == asked, "nothing is fetched for it"

    logged(orchard, lock_of(orchard, text, name=name))
    told = command.json("verify", name)
    assert set(results(told).values()) == {"proven"}
    for each in told["files"][0]["files"]:
        assert each["compared"] in (["sha256"], ["sha512"])
        for file in each["admitted"]:
            assert file["entry"]["kind"] == "admission" and file["statement"]["subject"]
    assert "in the log" in command("verify", name).stdout

    other = digest.replace(digest[10:20], digest[20:10:-1])
    (tmp_path / name).write_text(text.replace(digest, other))
    done = command("verify", name)
    assert done.returncode == 8 and "other bytes are stored here" in done.stdout, done.stdout + done.stderr
    assert "differs" in results(command.json("verify", name, exit_code=8)).values()


def test_what_a_lock_names_that_is_not_admitted__is_named_file_by_file(
    orchard: Cluster, upstream: Upstream, project: Names, tmp_path: Path
) -> None:
    name, gone, git = (project().replace("-", "") for _ in range(3))
    hashes = publish(upstream, name)
    wheel, sdist = hashes
    logged(orchard, lock_of(orchard, uv_lock(name, hashes), name="uv.lock"))
    text = uv_lock(name, {wheel: OTHER, sdist: hashes[sdist], f"{name}-1.0-py2-none-any.whl": OTHER})
    text += uv_lock(gone, {f"{gone}-1.0.tar.gz": OTHER}).removeprefix("version = 1\n")
    text += uv_lock(git, {}, f'git = "https://git.example.com/{git}"').removeprefix("version = 1\n")
    (tmp_path / "x.toml").write_text(text)
    command = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    assert results(command.json("verify", "x.toml", "--kind", "uv.lock", exit_code=8)) == {
        wheel: "differs",
        sdist: "proven",
        f"{name}-1.0-py2-none-any.whl": "absent",
        f"{gone}-1.0.tar.gz": "absent",
        git: "elsewhere",
    }
    done = command("verify", "x.toml", "--kind", "uv.lock")
    assert "x.toml: 1 of 5 files admitted and in the log, 1 stated" in done.stdout
    assert "4 of 5 files of locks are not proven" in done.stderr
    assert "says nothing of a file" in command("verify", "x.toml").stderr, "by its name it is no lock"


def test_a_lock_of_its_own__is_read_here(
    orchard: Cluster, upstream: Upstream, project: Names, tmp_path: Path
) -> None:
    name = project().replace("-", "")
    hashes = publish(upstream, name)
    answer = answer_to(orchard, uv_lock(name, hashes), name="uv.lock")
    logged(orchard, answer.json())
    command = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    path = tmp_path / "uv.lock.orchard.lock.json"
    path.write_bytes(answer.content)
    assert results(command.json("verify", path.name)) == dict.fromkeys(hashes, "proven")
    unknown = hashlib.sha256(build_wheel(name, "9.0")).hexdigest()
    path.write_bytes(answer.content.replace(next(iter(hashes.values())).encode(), unknown.encode()))
    told = command.json("verify", path.name, exit_code=6)
    assert sorted(results(told).values()) == ["proven", "unlogged"], "no digest but the one it names"
    path.write_bytes(answer.content[:-20])
    assert "no lock that `orchard ensure` wrote" in command("verify", path.name).stderr


def test_what_cannot_be_read__is_wrong_use_with_the_place(orchard: Cluster, tmp_path: Path) -> None:
    command = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    (tmp_path / "uv.lock").write_text("version = 2")
    done = command("verify", "uv.lock")
    assert done.returncode == 2 and "only 1 of uv.lock" in done.stderr
    assert answer_to(orchard, "version = 2", name="uv.lock").status_code == 422
    assert command("verify", "uv.lock", **NOWHERE).returncode == 3
