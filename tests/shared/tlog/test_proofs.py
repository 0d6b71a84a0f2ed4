"""Proofs as files, logs as folders: what is whole is proven, every changed byte is found."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from shared.tlog.entries import LogEntry, Source, encode_entry
from shared.tlog.making import consistency_ranges, inclusion_ranges
from shared.tlog.notes import read_checkpoint
from shared.tlog.proofs import (
    Proof,
    check_file,
    check_mirror,
    read_bundle,
    read_proof,
    tile_path,
    write_proof,
)
from shared.tlog.trees import Unproven
from shared.tlog.verify import main
from tests.shared.tlog.logs import SIGNER, mirror_of, proof_of, tiles_at

CONTENT = [b"file %d" % number for number in range(300)]
TIME = "2026-11-29T12:00:00.000000Z"


def entry_of(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return encode_entry(
        LogEntry("admission", TIME, "pypi", "demo", file="demo.whl", digests={"sha256": digest})
    )


ENTRIES = [entry_of(each) for each in CONTENT]
MIRROR = mirror_of(ENTRIES)


def proof_at(index: int, size: int = 300) -> Proof:
    entries = ENTRIES[:size]
    hashes = proof_of(inclusion_ranges(index, size), tiles_at(entries))
    return Proof(ENTRIES[index], index, hashes, mirror_of(entries)["checkpoint"])


def test_a_file_is_proven_by_its_proof_and_by_no_other() -> None:
    proof = read_proof(write_proof(proof_at(7)))
    entry, checkpoint = check_file(hashlib.sha256(CONTENT[7]).hexdigest(), proof, SIGNER.key)
    assert entry["project"] == "demo" and checkpoint.size == 300
    with pytest.raises(Unproven, match="of another file"):
        check_file(hashlib.sha256(CONTENT[8]).hexdigest(), proof, SIGNER.key)


def test_every_flipped_byte_of_a_proof_is_found() -> None:
    data, sha256 = write_proof(proof_at(1, 3)), hashlib.sha256(CONTENT[1]).hexdigest()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Unproven):
            check_file(sha256, read_proof(changed), SIGNER.key)


def test_every_flipped_byte_of_tiles_and_entries_is_found() -> None:
    assert check_mirror(MIRROR.__getitem__, SIGNER.key).size == 300
    small = mirror_of(ENTRIES[:3])
    places = [(small, path, at) for path, data in small.items() for at in range(len(data))]
    places += [(MIRROR, path, at) for path, data in MIRROR.items() for at in range(0, len(data), 911)]
    for mirror, path, at in places:
        if path != "checkpoint":  # tests/shared/tlog/test_notes.py
            data = mirror[path]
            changed = {**mirror, path: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}
            with pytest.raises(Unproven):
                check_mirror(changed.__getitem__, SIGNER.key)


def test_a_log_that_is_cut_off_or_forked_is_found() -> None:
    old = read_checkpoint(MIRROR["checkpoint"], SIGNER.key)
    longer = mirror_of([*ENTRIES, b"more"])
    assert check_mirror(longer.__getitem__, SIGNER.key, old).size == 301
    for entries in (ENTRIES[:299], [b"forked", *ENTRIES[1:], b"more"]):
        with pytest.raises(Unproven, match="forked"):
            check_mirror(mirror_of(entries).__getitem__, SIGNER.key, old)


def test_an_entry_is_one_canonical_document() -> None:
    source = Source("main", "https://mirror.example/simple/", "https://mirror.example/demo.whl")
    entry = LogEntry("admission", TIME, "pypi", "demo", file="d\u00e9mo.whl", size=0, source=source)
    data = encode_entry(entry)
    assert (
        data
        == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )
    assert json.loads(data)["format"] == 1 and json.loads(data)["size"] == 0
    with pytest.raises(ValueError, match="too long"):
        encode_entry(LogEntry("admission", TIME, file="x" * 65_536))


def test_tiles_lie_where_the_specification_has_them() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path("entries", 0, 5) == "tile/entries/000.p/5"
    assert tile_path(2, 1000) == "tile/2/x001/000"


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x05abcd", b"\x00\x00" * 257])
def test_a_bundle_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(Unproven):
        read_bundle(data)


def test_the_command_proves_files_growth_and_mirrors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, consistency = str(SIGNER.key), tmp_path / "consistency"
    names = {
        "file": CONTENT[7],
        "proof": write_proof(proof_at(7)),
        "old": mirror_of(ENTRIES[:200])["checkpoint"],
    }
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    hashes = proof_of(consistency_ranges(200, 300), tiles_at(ENTRIES))
    consistency.write_text("".join(f"{base64.b64encode(each).decode()}\n" for each in hashes))
    for path, data in MIRROR.items():
        (tmp_path / "log" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "log" / path).write_bytes(data)
    old, log = str(tmp_path / "old"), str(tmp_path / "log")
    after = ["--after", old, "--consistency", str(consistency)]
    file = ["file", str(tmp_path / "file"), "--proof", str(tmp_path / "proof"), "--key", key]
    assert main([*file, *after]) == 0
    checkpoints = ["checkpoints", old, f"{log}/checkpoint", "--key", key]
    assert main([*checkpoints, "--consistency", str(consistency)]) == 0
    assert main(["mirror", log, "--key", key, "--after", old]) == 0
    assert capsys.readouterr().out.count("proven: ") == 3
    assert main(checkpoints) == 1
    (tmp_path / "file").write_bytes(b"other")
    assert main(file) == 1
    assert "of another file" in capsys.readouterr().err
