"""What a bundle proves by the standard library alone: its own files, by the key that is expected."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.bundles.form import BundleRefused, Head, note_text, read_head, write_head
from shared.bundles.proving import BundleProofs, NotInBundle, check_objects
from shared.bundles.verify import main
from shared.tlog.dsse import key_id, statement_about
from shared.tlog.trees import Unproven
from tests.support.bundles import OTHER, SIGNER, Made, envelope, made, sha256

WHEEL, OTHER_WHEEL = b"a wheel", b"another wheel"
NAME = "demo-1.0-py3-none-any.whl"
FILES = {NAME: WHEEL, "demo-2.0-py3-none-any.whl": OTHER_WHEEL}


def stated(*envelopes: bytes) -> Made:
    it = made(FILES, {"simple/demo": b"{}"})
    return it.changed(lambda manifest: msgspec.structs.replace(manifest, statements=list(envelopes)))


def head_of(it: Made) -> Head:
    return read_head(io.BytesIO(it.data).read)


def told_otherwise(change: Any) -> Head:
    """Signed by the right key, and changed before."""
    whole = json.loads(head_of(stated()).manifest)
    change(whole)
    manifest = json.dumps(whole).encode()
    note = SIGNER.note(note_text(SIGNER.key, manifest))
    return read_head(io.BytesIO(write_head(note, manifest)).read)


def test_each_file__has_its_entry_in_the_log_and_what_is_stated() -> None:
    proofs = BundleProofs(head_of(stated(envelope(SIGNER, NAME, WHEEL))), SIGNER.key)
    assert proofs.files == sorted(map(sha256, FILES.values()))
    for digest in proofs.files:
        entry, _ = proofs.check(digest)
        assert entry["digests"]["sha256"] == digest
    found = statement_about(proofs.envelopes(sha256(WHEEL)), sha256(WHEEL), SIGNER.key)
    assert found is not None and found.is_about("sha256", sha256(WHEEL))
    assert proofs.envelopes(sha256(OTHER_WHEEL)) == []
    with pytest.raises(NotInBundle):
        proofs.check(sha256(b"a third"))


def test_a_bundle_of_another_key__proves_nothing() -> None:
    with pytest.raises(Unproven, match="the bundle is signed by"):
        BundleProofs(head_of(stated()), OTHER.key)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it["log"]["files"].pop(), "has no proof of its file"),
        (lambda it: it["log"]["files"][0].update(entry=it["log"]["files"][1]["entry"]), "not in the log"),
        (lambda it: it["log"]["files"][0].update(index=7), "not in a log of"),
        (lambda it: it["log"]["files"][0].update(index="x"), "an index that is none"),
        (lambda it: it["log"]["files"][0].update(sha256="0" * 64), "has no proof of its file"),
        (lambda it: it["log"].update(checkpoint="AAAA"), "note"),
        (lambda it: it.update(log=[]), "cannot be read"),
        (lambda it: it["log"]["files"][0].update(index=0.0), "an index that is none"),
        (lambda it: it["log"]["files"][0].update(index="0"), "an index that is none"),
        (lambda it: it["log"]["files"][0].update(index=False), "an index that is none"),
        (lambda it: it["log"]["files"][0].update(index=-1), "an index that is none"),
        (lambda it: it["log"]["files"][0].update(index=float("inf")), "Infinity is no number"),
        (lambda it: it.update(format=2), "of another format than 1"),
        (lambda it: it.update(format=True), "of another format than 1"),
        (lambda it: it.update(statements=["AAAA"]), "a statement in the bundle cannot be read"),
    ],
)
def test_a_manifest_that_lies__is_found_whoever_signed_it(change: Any, said: str) -> None:
    with pytest.raises(Unproven, match=said):
        proofs = BundleProofs(told_otherwise(change), SIGNER.key)
        for digest in proofs.files:
            proofs.check(digest)


def test_a_statement__of_another_key_is_none__and_a_forged_one_is_found() -> None:
    foreign = envelope(OTHER, NAME, WHEEL)
    claimed = foreign.replace(key_id(OTHER.key).encode(), key_id(SIGNER.key).encode())
    proofs = BundleProofs(head_of(stated(foreign)), SIGNER.key)
    assert statement_about(proofs.envelopes(sha256(WHEEL)), sha256(WHEEL), SIGNER.key) is None
    proofs = BundleProofs(head_of(stated(claimed)), SIGNER.key)
    with pytest.raises(Unproven, match="is not signed by"):
        statement_about(proofs.envelopes(sha256(WHEEL)), sha256(WHEEL), SIGNER.key)


def test_objects__are_counted_to_the_end_and_every_changed_one_is_found() -> None:
    it = stated()
    it.left_out = frozenset([it.manifest.objects[-1].key])
    data = it.data
    file = io.BytesIO(data)
    assert check_objects(file.read, read_head(file.read)) == (2, 1)
    for wrong in (data[:-1], data + b"x", data.replace(WHEEL, WHEEL[::-1])):
        file = io.BytesIO(wrong)
        with pytest.raises(BundleRefused):
            check_objects(file.read, read_head(file.read))


def test_the_verifier_of_one_file__proves_a_bundle_and_files_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, file = tmp_path / "it.bundle", tmp_path / "some.whl"
    bundle.write_bytes(stated(envelope(SIGNER, NAME, WHEEL)).data)
    file.write_bytes(WHEEL)
    words, key = ["bundle", str(bundle)], ["--key", str(SIGNER.key)]
    assert main([*words, *key]) == 0
    assert "2 files in a log of 2 entries, 1 of them stated; 3 objects, 0 left out" in capsys.readouterr().out
    assert main([*words, str(file), *key]) == 0
    assert "1 files in a log of 2 entries, 1 of them stated" in capsys.readouterr().out
    file.write_bytes(b"others")
    assert main([*words, str(file), *key]) == 1
    assert "has no file with the SHA256" in capsys.readouterr().err
    assert main(["bundle", str(bundle), "--key", str(OTHER.key)]) == 1
    bundle.write_bytes(bundle.read_bytes()[:-1])
    assert main([*words, *key]) == 1
    assert "not proven: byte" in capsys.readouterr().err
