"""The form of a batch: what is read back, and what is not taken."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from shared.ledger.batch import (
    FORMAT,
    LARGEST_BYTES,
    Batch,
    Client,
    Damaged,
    File,
    Serving,
    UnknownFormat,
    decode_batch,
    encode_batch,
)

CLIENT = Client("192.0.2.7", "ci", "pip", "24.0")
FILE = File("pypi", "flask", "3", "flask-3.0.tar.gz", "ab" * 32)


def batch(*servings: Serving) -> Batch:
    return Batch(FORMAT, "one", 1, 0, [CLIENT], [FILE], list(servings))


def test_batch__comes_back_as_it_was() -> None:
    wanted = batch(Serving(1.5, 0, 0, 3, "NONE", "blocked", 2, 0))
    assert decode_batch(encode_batch(wanted)) == wanted


def test_fields_of_a_later_minor_version__are_passed_over() -> None:
    plain = msgspec.to_builtins(batch(Serving(1.5, 0, 0, 0, "HIT", "", 1, 10)))
    plain[6][0].append("new")
    plain.append("new")
    assert decode_batch(zlib.compress(msgspec.msgpack.encode(plain))).servings[0].size_bytes == 10


def test_another_format__is_told_from_damage() -> None:
    plain = msgspec.msgpack.encode([FORMAT + 1, {"all": "new"}])
    with pytest.raises(UnknownFormat):
        decode_batch(zlib.compress(plain))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zlib",
        encode_batch(batch())[:-3],
        zlib.compress(b"\x93no"),
        zlib.compress(msgspec.msgpack.encode([FORMAT])),
        zlib.compress(bytes(LARGEST_BYTES + 1)),
        *(
            encode_batch(batch(Serving(1.5, client, file, result, "HIT", "", 1, 10)))
            for client, file, result in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 4), (0, 0, -1))
        ),
    ],
)
def test_damage__is_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        decode_batch(data)
