"""`orchard verify --bundle`: files, locks and the bundle itself, where no Orchard answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.gateway.pages.command import archive
from tests.services.cli.conftest import Command
from tests.support.bundles import ID, OTHER, SIGNER, envelope, made, sha256

KEY = str(SIGNER.key)
WHEEL, SECOND = b"a wheel", b"another wheel"
NAME, SECOND_NAME = "demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"
Make = Callable[..., Command]


@pytest.fixture
def there(tmp_path: Path, command: Make) -> Command:
    """A folder with a bundle, and nobody at the address of Orchard."""
    it = made({NAME: WHEEL, SECOND_NAME: SECOND}, {"simple/demo": b"{}"})
    told = [envelope(SIGNER, NAME, WHEEL)]
    it = it.changed(lambda manifest: msgspec.structs.replace(manifest, statements=told))
    (tmp_path / "app.bundle").write_bytes(it.data)
    (tmp_path / "some.whl").write_bytes(WHEEL)
    return command(ORCHARD_URL="http://127.0.0.1:9")


def uv_lock(**versions: tuple[str, str]) -> str:
    """A uv.lock of demo: version → name and SHA256 of its wheel."""
    parts = [
        f'[[package]]\nname = "demo"\nversion = "{version.removeprefix("v").replace("_", ".")}"\n'
        'source = { registry = "https://packages.example.com/" }\n'
        f'wheels = [{{ url = "https://files.example.com/{name}", hash = "sha256:{digest}" }}]\n'
        for version, (name, digest) in versions.items()
    ]
    return "version = 1\n" + "".join(parts)


def results(told: dict[str, Any]) -> dict[str, str]:
    (lock,) = told["files"]
    return {each["file"]: each["result"] for each in lock["files"]}


def test_a_file__is_proven_by_the_bundle__and_its_proof_can_be_kept(there: Command, tmp_path: Path) -> None:
    words = ("verify", "some.whl", "--bundle", "app.bundle", "--key", KEY)
    (told,) = there.json(*words, "--save", "proofs")["files"]
    assert told["entry"]["digests"]["sha256"] == sha256(WHEEL) and told["statement"]["subject"]
    saved = there("verify", "some.whl", "--proof", "proofs/some.whl.tlog-proof", "--key", KEY)
    assert saved.returncode == 0, saved.stderr
    (tmp_path / "some.whl").write_bytes(b"others")
    done = there(*words)
    assert done.returncode == 1 and "the bundle has no file with the SHA256" in done.stderr


@pytest.mark.parametrize("id", [f"build-{ID}", f"build-{ID[1:]}a"])
def test_the_build__is_the_bundle_with_all_its_objects(there: Command, tmp_path: Path, id: str) -> None:
    words = ("verify", id, "--bundle", "app.bundle", "--key", KEY)
    done = there(*words)
    if id != f"build-{ID}":
        assert done.returncode == 1 and f"the bundle is of {ID}" in done.stderr
        return
    assert "2 files, all in the log, 1 stated; 3 objects, 0 left out" in done.stdout, done.stderr
    data = (tmp_path / "app.bundle").read_bytes()
    (tmp_path / "app.bundle").write_bytes(data.replace(SECOND, SECOND[::-1]))
    done = there(*words)
    assert done.returncode == 1 and f"the bytes of artifacts/{sha256(SECOND)} are others" in done.stderr


def test_a_lock_of_a_client__is_proven_file_by_file(there: Command, tmp_path: Path) -> None:
    words = ("verify", "uv.lock", "--bundle", "app.bundle", "--key", KEY)
    lock = uv_lock(v1_0=(NAME, sha256(WHEEL)), v2_0=(SECOND_NAME, sha256(SECOND)))
    (tmp_path / "uv.lock").write_text(lock)
    assert results(there.json(*words)) == {NAME: "proven", SECOND_NAME: "proven"}
    absent = "demo-3.0-py3-none-any.whl"
    wrong = uv_lock(v1_0=(NAME, sha256(WHEEL)), v2_0=(SECOND_NAME, "0" * 64), v3_0=(absent, "1" * 64))
    (tmp_path / "uv.lock").write_text(wrong)
    told = there.json(*words, exit_code=8)
    assert results(told) == {NAME: "proven", SECOND_NAME: "differs", absent: "absent"}
    said = there(*words)
    assert "other bytes are stored in the bundle under its name" in said.stdout
    assert "2 of 3 files of locks are not proven" in said.stderr
    (tmp_path / "uv.lock").write_text("version = 2")
    done = there(*words)
    assert done.returncode == 2 and "uv.lock: " in done.stderr and "version" in done.stderr


def own_lock(*digests: str) -> str:
    packages = [
        {"name": "demo", "version": str(at), "filename": f"demo-{at}.whl", "sha256": digest}
        for at, digest in enumerate(digests)
    ]
    whole = {"format": 1, "key": "0" * 64, "ensure": {}, "protocols": {"pypi": {"packages": packages}}}
    return json.dumps(whole)


def test_a_lock_of_ensure__needs_the_one_file_of_the_command_alone(there: Command, tmp_path: Path) -> None:
    (tmp_path / "orchard.pyz").write_bytes(archive("http://127.0.0.1:9"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-I", "-S", "orchard.pyz", "verify", *words, "--bundle", "app.bundle"]
        env = there.environment
        return subprocess.run([*line, "--key", KEY], cwd=tmp_path, env=env, capture_output=True, text=True)

    (tmp_path / "it.orchard.lock.json").write_text(own_lock(sha256(WHEEL), sha256(SECOND)))
    done = run("it.orchard.lock.json")
    assert "2 of 2 files admitted and in the log, 1 stated" in done.stdout, done.stderr
    (tmp_path / "it.orchard.lock.json").write_text(own_lock(sha256(WHEEL), "0" * 64))
    done = run("it.orchard.lock.json")
    assert done.returncode == 8 and "it was not admitted in the bundle" in done.stdout, done.stderr
    (tmp_path / "uv.lock").write_text(uv_lock(v1_0=(NAME, sha256(WHEEL))))
    done = run("uv.lock")
    assert done.returncode == 1 and "this is the command alone" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("some.whl",), 2, "--bundle needs --key"),
        (("some.whl", "--key", str(OTHER.key)), 1, "the bundle is signed by"),
        (("some.whl", "--key", KEY, "--proof", "x"), 2, "of one file"),
        (("lock-" + "0" * 64, "--key", KEY), 1, "the bundle is of"),
    ],
)
def test_what_proves_nothing__is_refused(
    there: Command, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    done = there("verify", *words, "--bundle", "app.bundle")
    assert done.returncode == exit_code and said in done.stderr, done.stderr


def test_what_is_no_bundle__is_refused_with_the_byte(there: Command, tmp_path: Path) -> None:
    (tmp_path / "app.bundle").write_bytes(b"PK")
    done = there("verify", "some.whl", "--bundle", "app.bundle", "--key", KEY)
    assert done.returncode == 1 and "app.bundle: byte 0: this is no bundle of Orchard" in done.stderr
