"""What is remembered of a log: whose it is goes by its name, and another key only by who names it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from services.cli.errors import CommandFailed
from services.cli.known_log import KnownLog
from services.cli.server import Answer, Server
from services.cli.target import choose_target
from shared.tlog.making import consistency_ranges
from shared.tlog.proofs import Proof, write_proof
from shared.tlog.signing import Signer
from shared.tlog.trees import Unproven, leaf_hash, tree_root
from tests.support.bundles import Log, sha256

FILES = [b"one", b"two", b"three"]
OLD = Signer("log.example/one", b"1" * 32)
REKEYED = Signer("log.example/one", b"3" * 32)
RENAMED = Signer("log.example/two", b"2" * 32)


class Orchard(Server):
    """Has a log in memory, which `signer` signs."""

    def __init__(self, signer: Signer, files: list[bytes]) -> None:
        super().__init__(choose_target("http://127.0.0.1:9", {}))
        self.log, self.signer = Log(), signer
        for each in files:
            self.log.admit(sha256(each))

    def call(self, method: str, path: str, **_: Any) -> Any:
        return {"key": str(self.signer.key)}

    def request(self, method: str, path: str, *, query: Any = None, **_: Any) -> Answer:
        leaves = list(map(leaf_hash, self.log.entries))
        if path.endswith("/consistency"):
            ranges = consistency_ranges(int(query["old"]), len(leaves))
            body = b"".join(_line(tree_root(leaves[low:high])) for low, high in ranges)
            return Answer(200, {}, body)
        part = self.log.part([query["sha256"]], self.signer)
        (it,) = part.files
        return Answer(200, {}, write_proof(Proof(it.entry, it.index, it.hashes, part.checkpoint)))


def _line(data: bytes) -> bytes:
    return base64.b64encode(data) + b"\n"


def verified(orchard: Orchard, key: Signer | None, content: bytes = FILES[0]) -> None:
    log = KnownLog(orchard, "" if key is None else str(key.key))
    log.check(sha256(content))
    log.remember()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is remembered."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "orchard"


@pytest.mark.parametrize(("new", "said"), [(REKEYED, "by another key"), (RENAMED, "there is another log")])
def test_another_key_that_nobody_named__not_proven_and_says_what_to_do(new: Signer, said: str) -> None:
    verified(Orchard(OLD, FILES), None)
    with pytest.raises(Unproven, match=f"{said}.*--key"):
        verified(Orchard(new, FILES), None)
    verified(Orchard(OLD, FILES), None)


@pytest.mark.parametrize("new", [REKEYED, RENAMED], ids=["same name", "another name"])
def test_another_key_that_is_named__is_taken_and_remembered(new: Signer) -> None:
    verified(Orchard(OLD, FILES[:2]), None)
    verified(Orchard(new, FILES), new)
    verified(Orchard(new, FILES), None)
    with pytest.raises(Unproven, match="--key"):
        verified(Orchard(OLD, FILES), None)


def test_another_key_of_the_same_log__goes_on_from_what_was_seen(state: Path) -> None:
    verified(Orchard(OLD, FILES), None)
    for files in (FILES[:2], [*FILES[::-1], b"four"], FILES[::-1]):
        with pytest.raises(Unproven, match=r"remove .*\.log"):
            verified(Orchard(REKEYED, files), REKEYED)
    (kept,) = state.iterdir()
    kept.unlink()
    verified(Orchard(REKEYED, FILES[:2]), REKEYED)


def test_log_of_another_name__begins_anew_and_what_was_seen_of_the_first_stays() -> None:
    verified(Orchard(OLD, FILES), None)
    verified(Orchard(RENAMED, FILES[:1]), RENAMED)
    verified(Orchard(RENAMED, FILES[:2]), None)
    with pytest.raises(Unproven, match="a log of"):
        verified(Orchard(OLD, FILES[:2]), OLD)
    verified(Orchard(OLD, [*FILES, b"four"]), OLD)
    with pytest.raises(Unproven, match="a log of"):
        verified(Orchard(RENAMED, FILES[:1]), RENAMED)


def test_another_key_than_the_named_one__not_proven() -> None:
    with pytest.raises(Unproven, match="was expected"):
        verified(Orchard(OLD, FILES), RENAMED)


@pytest.mark.parametrize("kept", [b"", b"x\n", f"{OLD.key}\nx".encode()])
def test_memory_that_is_damaged__told_with_its_file(state: Path, kept: bytes) -> None:
    verified(Orchard(OLD, FILES), None)
    (path,) = state.iterdir()
    path.write_bytes(kept)
    with pytest.raises(CommandFailed, match="damaged") as failed:
        verified(Orchard(OLD, FILES), None)
    assert str(path) in failed.value.hint
