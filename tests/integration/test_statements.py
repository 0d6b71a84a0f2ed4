"""Statements of a running Orchard: signed, true, found by digest and version, whatever became of a file."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.tlog.signing import new_signer_text, read_signer
from tests.services.cli.conftest import Command
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, wait_until
from tests.support.statement_schemas import checked
from tests.support.upstream import Upstream

KEY_TEXT = new_signer_text("logs.example/statements")
SIGNER = read_signer(KEY_TEXT)
ADMIN = "operators-token-of-tests"
Names = Callable[[], str]


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_LOG_KEY": KEY_TEXT, "ORCHARD_ADMIN_TOKEN": ADMIN}


@pytest.fixture
def stored(orchard: Cluster, upstream: Upstream, project: Names) -> Iterator[tuple[str, bytes]]:
    """A wheel that a client has got, with its statement: its project and bytes."""
    name = project()
    wheel = build_wheel(name, "1.0")
    upstream.add_project(name, {filename(name): wheel})
    assert orchard.get(orchard.file_path(name, filename(name))).content == wheel
    wait_until(lambda: about(orchard, wheel).status_code == 200, seconds=60, what="the statement")
    yield name, wheel


def filename(name: str) -> str:
    return f"{name.replace('-', '_')}-1.0-py3-none-any.whl"


def about(orchard: Cluster, content: bytes) -> httpx.Response:
    return orchard.get(f"/api/v1/statements/sha256/{hashlib.sha256(content).hexdigest()}")


def object_of(orchard: Cluster, folder: str, sha256: str) -> Path:
    return orchard.folder / "data" / "objects" / folder / sha256[:2] / sha256


def is_refused(orchard: Cluster, path: str) -> bool:
    with contextlib.suppress(httpx.TransportError):  # a transfer during which it is blocked
        return orchard.get(path).status_code == 403
    return False


def statement(orchard: Cluster, content: bytes) -> dict[str, Any]:
    (line,) = about(orchard, content).content.splitlines()
    return checked(line, SIGNER.key)


def test_a_file_that_was_fetched__is_stated_with_where_from_and_what_was_compared(
    orchard: Cluster, stored: tuple[str, bytes]
) -> None:
    name, wheel = stored
    sha256 = hashlib.sha256(wheel).hexdigest()
    found = statement(orchard, wheel)
    assert found["subject"] == [
        {"name": filename(name), "uri": f"pkg:pypi/{name}@1.0", "digest": {"sha256": sha256}}
    ]
    predicate = found["predicate"]
    assert predicate["upstream"]["registry"].startswith("http://127.0.0.1")
    assert predicate["integrity"] == {"result": "verified", "method": "hash", "expected": {"sha256": sha256}}
    assert predicate["publisherSignature"] == {"result": "unverified"}
    assert predicate["policyEvaluations"] == []
    path = predicate["ingestion"]["path"]
    assert orchard.get(path).content == wheel, "where it says that it is"


def test_by_package_url_and_by_digest__the_same_bytes(orchard: Cluster, stored: tuple[str, bytes]) -> None:
    name, wheel = stored
    whole = about(orchard, wheel)
    assert whole.headers["content-type"] == "application/jsonl"
    for of in (f"pkg:pypi/{name}@1.0", f"pkg:pypi/{name.upper()}@1", hashlib.sha256(wheel).hexdigest()):
        assert orchard.get("/api/v1/statements", params={"of": of}).content == whole.content, of


@pytest.mark.parametrize(
    "of, status",
    [("pkg:pypi/demo", 400), ("x", 400), ("pkg:pypi/nobody@1.0", 404), ("0" * 64, 404)],
)
def test_what_is_no_version_is_refused_and_what_is_unknown_is_404(
    orchard: Cluster, stored: tuple[str, bytes], of: str, status: int
) -> None:
    assert orchard.get("/api/v1/statements", params={"of": of}).status_code == status


def test_a_file_that_is_blocked_and_lost__is_still_stated(
    orchard: Cluster, stored: tuple[str, bytes]
) -> None:
    name, wheel = stored
    sha256 = hashlib.sha256(wheel).hexdigest()
    before, path = about(orchard, wheel).content, orchard.file_path(name, filename(name))
    blocked = httpx.post(
        orchard.url("/api/v1/admin/blocks"),
        json={"sha256": sha256, "reason": "to see"},
        headers={"authorization": f"Bearer {ADMIN}"},
        trust_env=False,
        timeout=60,
    )
    assert blocked.status_code == 201, blocked.text
    wait_until(lambda: is_refused(orchard, path), seconds=30, what="the block")
    object_of(orchard, "artifacts", sha256).unlink()
    assert about(orchard, wheel).content == before


def test_a_statement_whose_bytes_were_changed__is_503_and_never_served(
    orchard: Cluster, stored: tuple[str, bytes]
) -> None:
    _, wheel = stored
    (line,) = about(orchard, wheel).content.splitlines()
    key = hashlib.sha256(line).hexdigest()
    path = object_of(orchard, "statements", key)
    path.chmod(0o600)
    path.write_bytes(line.replace(b"payloadType", b"payloadtype"))
    answer = about(orchard, wheel)
    assert answer.status_code == 503 and "damaged" in answer.text


def test_the_command__shows_saves_and_checks_them(
    orchard: Cluster, stored: tuple[str, bytes], tmp_path: Path
) -> None:
    name, wheel = stored
    command = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    (tmp_path / "demo.whl").write_bytes(wheel)
    for of in ("demo.whl", hashlib.sha256(wheel).hexdigest(), f"pkg:pypi/{name}@1.0"):
        (found,) = command.json("statement", of, "--save", "kept")["statements"]
        assert found == statement(orchard, wheel)
    assert "integrity verified by sha256" in command("statement", "demo.whl").stdout
    (proven,) = command.json("verify", "demo.whl", "--save", "kept")["files"]
    assert proven["statement"] == found and proven["entry"]["kind"] == "admission"

    kept = f"kept/{filename(name)}.intoto.jsonl"
    offline = ["verify", "demo.whl", "--statement", kept]
    nowhere = {"ORCHARD_URL": "http://127.0.0.1:9"}
    assert command(*offline, **nowhere).returncode == 2, "a key is missing"
    done = command(*offline, "--key", str(SIGNER.key), "--proof", "kept/demo.whl.tlog-proof", **nowhere)
    assert done.returncode == 0 and "stated: from" in done.stdout and "admitted" in done.stdout, done.stderr

    other = read_signer(new_signer_text(SIGNER.key.name))
    done = command(*offline, "--key", str(other.key), **nowhere)
    assert done.returncode == 1 and "no statement by this key" in done.stderr
    done = command("statement", "demo.whl", "--key", str(other.key))
    assert done.returncode == 1 and "not signed by" in done.stderr

    line = json.loads((tmp_path / kept).read_bytes())
    payload = base64.b64decode(line["payload"]).replace(b"verified", b"veritied", 1)
    (tmp_path / kept).write_text(json.dumps({**line, "payload": base64.b64encode(payload).decode()}))
    done = command(*offline, "--key", str(SIGNER.key))
    assert done.returncode == 1 and "not signed by" in done.stderr
    (tmp_path / kept).write_text(json.dumps(line))
    (tmp_path / "demo.whl").write_bytes(wheel + b"x")
    done = command(*offline, "--key", str(SIGNER.key))
    assert done.returncode == 1 and "about another file" in done.stderr


def test_the_stand_alone_verifier__checks_them_with_the_standard_library(
    orchard: Cluster, stored: tuple[str, bytes], tmp_path: Path
) -> None:
    _, wheel = stored
    (tmp_path / "file").write_bytes(wheel)
    (tmp_path / "lines").write_bytes(about(orchard, wheel).content)
    (tmp_path / "verify.pyz").write_bytes(orchard.get("/tlog/verify.pyz").content)

    def verify(key: object) -> subprocess.CompletedProcess[str]:
        words = ["verify.pyz", "statement", "file", "--statement", "lines", "--key", str(key)]
        command = [sys.executable, "-I", *words]
        return subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60)

    done = verify(SIGNER.key)
    assert done.returncode == 0 and done.stdout.startswith("proven: "), done.stderr
    assert verify(read_signer(new_signer_text(SIGNER.key.name)).key).returncode == 1
    (tmp_path / "file").write_bytes(wheel + b"x")
    done = verify(SIGNER.key)
    assert done.returncode == 1 and "about another file" in done.stderr


@pytest.fixture
def build(orchard: Cluster, stored: tuple[str, bytes]) -> str:
    """A sealed build that got the wheel, with its statements: its id."""
    name, wheel = stored
    made = httpx.post(orchard.url("/api/v1/builds"), json={"name": "app"}, trust_env=False, timeout=60)
    id = str(made.json()["id"])
    path = orchard.file_path(name, filename(name))
    assert orchard.get(f"/v/build-{id}/pypi/simple/{name}/").status_code == 200
    assert orchard.get(f"/v/build-{id}{path}").content == wheel
    assert orchard.get(f"/api/v1/builds/{id}/statements/provenance").status_code == 404, "it is open"
    sealed = httpx.post(orchard.url(f"/api/v1/builds/{id}/seal"), trust_env=False, timeout=60)
    assert sealed.status_code == 200, sealed.text
    wait_until(
        lambda: orchard.get(f"/api/v1/builds/{id}/statements/provenance").status_code == 200,
        seconds=60,
        what="its statements",
    )
    return id


def test_a_sealed_build__its_provenance_and_bills_are_signed(
    orchard: Cluster, stored: tuple[str, bytes], build: str
) -> None:
    name, wheel = stored
    sha256 = hashlib.sha256(wheel).hexdigest()
    found = {
        kind: checked(orchard.get(f"/api/v1/builds/{build}/statements/{kind}").content, SIGNER.key)
        for kind in ("provenance", "cyclonedx", "spdx")
    }
    assert {each["subject"][0]["name"] for each in found.values()} == {f"build-{build}"}
    inputs = found["provenance"]["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [each["digest"]["sha256"] for each in inputs if each["name"] == filename(name)] == [sha256]
    assert any(each["annotations"]["orchard_kind"] == "page" for each in inputs)
    (component,) = found["cyclonedx"]["predicate"]["components"]
    assert component["name"] == name and component["hashes"][0]["content"] == sha256
    for kind, media in {
        "cyclonedx": "application/vnd.cyclonedx+json",
        "spdx": "application/spdx+json",
    }.items():
        answer = orchard.get(f"/api/v1/builds/{build}/sbom/{kind}")
        assert answer.json() == found[kind]["predicate"]
        assert answer.headers["content-type"].startswith(media)
    for wrong in ("statements/x", "sbom/provenance"):
        assert orchard.get(f"/api/v1/builds/{build}/{wrong}").status_code == 404, wrong


def test_the_command__prints_a_builds_statements_and_verifies_it(
    orchard: Cluster, stored: tuple[str, bytes], build: str, tmp_path: Path
) -> None:
    command = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    whole = json.loads(command("build", "show", build, "--provenance").stdout)
    assert whole["predicateType"] == "https://slsa.dev/provenance/v1"
    assert json.loads(command("build", "show", build, "--sbom", "cyclonedx").stdout)["specVersion"] == "1.6"
    assert json.loads(command("build", "show", build, "--sbom", "spdx").stdout)["spdxVersion"] == "SPDX-2.3"
    signed = command("build", "show", f"build-{build}", "--sbom", "spdx", "--signed").stdout
    assert checked(signed.encode(), SIGNER.key)["predicateType"] == "https://spdx.dev/Document"
    other = str(read_signer(new_signer_text(SIGNER.key.name)).key)
    done = command("build", "show", build, "--provenance", "--key", other)
    assert done.returncode == 1 and "not signed by" in done.stderr
    assert command("build", "show", build, "--signed").returncode == 2

    (proven,) = command.json("verify", f"build-{build}")["files"]
    assert proven["build"] == build and proven["files"] >= 1
    assert "all in the log" in command("verify", f"build-{build}").stdout
    done = command("verify", f"build-{'a' * 32}")
    assert done.returncode == 1 and "no such build" in done.stderr
