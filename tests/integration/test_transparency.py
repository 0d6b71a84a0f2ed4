"""The log of a running Orchard: what was fetched is in it, proofs hold offline, tiles are as specified."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from shared.tlog.notes import read_checkpoint, read_key, read_note, signed_by
from shared.tlog.proofs import check_file, check_mirror, read_hashes, read_proof
from shared.tlog.signing import new_signer_text, read_signer
from shared.tlog.trees import check_consistency
from tests.services.cli.conftest import Command
from tests.shared.tlog.witnesses import Witness
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Upstream

KEY_TEXT = new_signer_text("logs.example/integration")
KEY = read_signer(KEY_TEXT).key
WITNESSES = [Witness("witness.example/one"), Witness("witness.example/two")]
Names = Callable[[], str]


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {
        "ORCHARD_LOG_KEY": KEY_TEXT,
        "ORCHARD_LOG_WITNESSES": ",".join(str(each.key) for each in WITNESSES),
    }


@pytest.fixture
def stored(orchard: Cluster, upstream: Upstream, project: Names) -> Iterator[tuple[str, bytes]]:
    """A wheel that a client has got, in the log: its project and bytes."""
    name = project()
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    wheel = build_wheel(name, "1.0")
    upstream.add_project(name, {filename: wheel})
    assert orchard.get(orchard.file_path(name, filename)).content == wheel
    sha256 = hashlib.sha256(wheel).hexdigest()
    wait_until(lambda: proof(orchard, sha256).status_code == 200, seconds=60, what="the entry in the log")
    yield name, wheel


def proof(orchard: Cluster, sha256: str) -> httpx.Response:
    return orchard.get(f"/api/v1/log/proof?sha256={sha256}")


def test_a_file_that_was_fetched__its_proof_says_where_from_and_what_was_compared(
    orchard: Cluster, stored: tuple[str, bytes], upstream: Upstream
) -> None:
    name, wheel = stored
    sha256 = hashlib.sha256(wheel).hexdigest()
    entry, checkpoint = check_file(sha256, read_proof(proof(orchard, sha256).content), KEY)
    assert (entry["project"], entry["size"], entry["role"]) == (name, len(wheel), "file")
    assert entry["checked"]["index"] == "sha256"
    assert entry["source"]["address"].startswith("http://127.0.0.1") and "?" not in entry["source"]["url"]
    told = orchard.get("/api/v1/log").json()
    assert read_key(told["key"]) == KEY and told["size"] >= checkpoint.size


def test_the_file_that_is_served__proves_offline_with_the_standard_library(
    orchard: Cluster, stored: tuple[str, bytes], tmp_path: Path
) -> None:
    _, wheel = stored
    (tmp_path / "file").write_bytes(wheel)
    (tmp_path / "proof").write_bytes(proof(orchard, hashlib.sha256(wheel).hexdigest()).content)
    (tmp_path / "verify.pyz").write_bytes(orchard.get("/tlog/verify.pyz").content)
    command = [sys.executable, "-I", "verify.pyz", "file", "file", "--proof", "proof", "--key", str(KEY)]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("proven: "), done.stderr
    (tmp_path / "file").write_bytes(wheel + b"x")
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "of another file" in done.stderr


def test_tiles_entries_and_growth__as_the_specifications_have_them(
    orchard: Cluster, stored: tuple[str, bytes], upstream: Upstream, project: Names
) -> None:
    old = read_checkpoint(orchard.get("/tlog/checkpoint").content, KEY)
    name = project()
    upstream.add_project(name, {f"{name.replace('-', '_')}-2.0-py3-none-any.whl": build_wheel(name, "2.0")})
    orchard.get(orchard.file_path(name, f"{name.replace('-', '_')}-2.0-py3-none-any.whl"))

    def newest() -> int:
        return read_checkpoint(orchard.get("/tlog/checkpoint").content, KEY).size

    wait_until(lambda: newest() > old.size, seconds=60, what="a newer checkpoint")

    def read(path: str) -> bytes:
        answer = orchard.get(f"/tlog/{path}")
        assert answer.status_code == 200, (path, answer.text)
        if path != "checkpoint":
            assert "immutable" in answer.headers["cache-control"]
        return answer.content

    new = check_mirror(read, KEY, old)
    hashes = read_hashes(orchard.get(f"/api/v1/log/consistency?old={old.size}&size={new.size}").content)
    check_consistency(old.size, old.root, new.size, new.root, hashes)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000",
        "tile/0/x000/000",
        "tile/64/000",
        "tile/entries/999",
        "tile",
    ],
)
def test_what_is_no_tile_of_the_log_is_404(orchard: Cluster, stored: tuple[str, bytes], path: str) -> None:
    assert orchard.get(f"/tlog/{path}").status_code == 404


def test_cosignatures__of_known_witnesses_are_kept_beside_the_checkpoint(
    orchard: Cluster, stored: tuple[str, bytes]
) -> None:
    def hand_in(note: bytes) -> httpx.Response:
        return httpx.post(orchard.url("/tlog/cosignatures"), content=note, trust_env=False, timeout=30)

    checkpoint = orchard.get("/tlog/checkpoint").content
    now = int(time.time())
    stranger = Witness("witness.example/one").cosign(checkpoint, now)
    forged = WITNESSES[0].cosign(checkpoint, now)
    line = bytearray(base64.b64decode(forged.split()[-1]))
    line[-1] ^= 1
    forged = forged.rpartition(b" ")[0] + b" " + base64.b64encode(line) + b"\n"
    unsigned = checkpoint.replace(KEY.name.encode(), b"elsewhere.example")
    for wrong in (b"", checkpoint, stranger, forged, WITNESSES[0].cosign(unsigned, now)):
        answer = hand_in(wrong)
        assert answer.status_code == 400, answer.text
    for witness in WITNESSES:
        answer = hand_in(witness.cosign(checkpoint, now))
        assert answer.status_code == 200 and answer.json()["kept"], answer.text
    kept = orchard.get("/tlog/checkpoint.cosigned").content
    assert read_checkpoint(kept, KEY) == read_checkpoint(checkpoint, KEY)
    assert [signed_by(read_note(kept), each.key) for each in WITNESSES] == [now, now]
    assert len(orchard.get("/api/v1/log").json()["cosigned_by"]) == 2


def test_questions_that_are_none_are_refused(orchard: Cluster, stored: tuple[str, bytes]) -> None:
    size = orchard.get("/api/v1/log").json()["size"]
    for query, status in {
        "proof?sha256=xyz": 400,
        f"proof?sha256={'0' * 64}": 404,
        "consistency?old=x": 400,
        f"consistency?old={size + 1000}": 400,
        "consistency?old=2&size=1": 400,
    }.items():
        assert orchard.get(f"/api/v1/log/{query}").status_code == status, query


def test_the_key_is_in_no_log_and_no_answer(orchard: Cluster, stored: tuple[str, bytes]) -> None:
    secret = KEY_TEXT.split("+", 4)[4]
    assert secret not in orchard.logs()
    assert secret not in json.dumps(orchard.get("/api/v1/log").json())


def test_the_command__proves_a_file_and_that_the_log_goes_on_from_what_it_saw(
    orchard: Cluster, stored: tuple[str, bytes], tmp_path: Path
) -> None:
    _, wheel = stored
    command = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    (tmp_path / "demo.whl").write_bytes(wheel)
    (found,) = command.json("verify", "demo.whl", "--save", "proofs")["files"]
    assert (found["log"], found["entry"]["kind"]) == (KEY.name, "admission")
    (remembered,) = (tmp_path / ".local/state/orchard").iterdir()
    known = remembered.read_bytes()
    assert known.startswith(str(KEY).encode())
    assert command("verify", "demo.whl").returncode == 0

    proof = ["verify", "demo.whl", "--proof", "proofs/demo.whl.tlog-proof"]
    assert command(*proof, "--key", str(KEY), ORCHARD_URL="http://127.0.0.1:9").returncode == 0
    assert command(*proof).returncode == 2

    signer = read_signer(KEY_TEXT)
    size = found["size"]
    for forked in (signer.checkpoint(size, bytes(32)), signer.checkpoint(size + 1000, bytes(32))):
        remembered.write_bytes(f"{KEY}\n".encode() + forked)
        done = command("verify", "demo.whl")
        assert done.returncode == 1 and "not proven" in done.stderr, done.stderr
        assert remembered.read_bytes().endswith(forked)  # what proves the fork stays
    other = read_signer(new_signer_text(KEY.name)).key
    remembered.write_bytes(f"{other}\n".encode())
    assert "was expected" in command("verify", "demo.whl").stderr
    remembered.unlink()
    assert "was expected" in command("verify", "demo.whl", "--key", str(other)).stderr

    (tmp_path / "demo.whl").write_bytes(wheel + b"x")
    done = command("verify", "demo.whl")
    assert done.returncode == 1 and "says nothing of a file" in done.stderr
    assert "of another file" in command(*proof, "--key", str(KEY)).stderr
