"""Signed JSON is read in one way or not at all."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from shared.tlog.documents import read_document
from shared.tlog.proofs import Proof, check_file
from shared.tlog.trees import Unproven, leaf_hash
from tests.shared.tlog.logs import SIGNER

CONTENT = b"a file"
SUM = hashlib.sha256(CONTENT).hexdigest()
GOOD = json.dumps({"kind": "admission", "digests": {"sha256": SUM}}).encode()


def only(entry: bytes) -> Proof:
    """Of the one entry of a log."""
    return Proof(entry, 0, [], SIGNER.checkpoint(1, leaf_hash(entry)))


@pytest.mark.parametrize(
    "data",
    [
        GOOD.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + GOOD,
        GOOD[:-1] + b', "kind": "admission"}',
        GOOD[:-1] + b', "size": NaN}',
        GOOD[:-1] + b', "size": Infinity}',
        GOOD[:-1] + b', "size": 1e400}',
        GOOD[:-1] + b', "size": "\xff"}',
        b"[" * 100_000,
        b"[]",
        b"null",
        b"",
    ],
)
def test_what_readers_may_read_differently__is_no_document(data: bytes) -> None:
    with pytest.raises(Unproven, match=r"it is JSON|it is a JSON object"):
        read_document(data, "it")
    with pytest.raises(Unproven):
        check_file(SUM, only(data), SIGNER.key)


@pytest.mark.parametrize("digests", [[], None, "sha256", 7, {}, {"sha256": [SUM]}, {"sha512": SUM}])
def test_an_entry_without_this_digest__is_of_another_file(digests: Any) -> None:
    data = json.dumps({"kind": "admission", "digests": digests}).encode()
    with pytest.raises(Unproven, match="of another file"):
        check_file(SUM, only(data), SIGNER.key)


def test_a_good_one__is_read() -> None:
    entry, _ = check_file(SUM, only(GOOD), SIGNER.key)
    assert entry["digests"] == {"sha256": SUM}
