"""A stored version's line changes in what Orchard must change, and in nothing else."""

from __future__ import annotations

from shared.models import SealedFile
from shared.protocols.cargo.freezing import carry_over, shown_lines
from shared.protocols.cargo.index import load_index_file

FIRST, OTHER = "a" * 64, "b" * 64
UNKNOWN = b'"e":1e999,"price":1.10,"text":"\\u00e9"'


def _line(cksum: str, yanked: bool) -> bytes:
    told = b'{"name":"wa","vers":"1.0.0","deps":[],"cksum":"%s","features":{},"yanked":%s,%s}'
    return told % (cksum.encode(), b"true" if yanked else b"false", UNKNOWN)


def test_shown__another_cksum_and_yanked__first_bytes_yanked__unknown_fields_as_they_were() -> None:
    file = SealedFile("wa-1.0.0.crate", "1.0.0", FIRST, 1)
    sealed = {("1.0.0", "wa-1.0.0.crate"): file}
    previous = load_index_file(_line(FIRST, False) + b"\n")
    body = carry_over(load_index_file(_line(OTHER, True) + b"\n"), previous, sealed)
    assert body is not None
    (shown,) = shown_lines(load_index_file(body), sealed)
    assert (shown.cksum, shown.yanked) == (FIRST, True)
    assert UNKNOWN in shown.raw


def test_carry_over__no_longer_listed__stays_yanked__unknown_fields_as_they_were() -> None:
    sealed = {("1.0.0", "wa-1.0.0.crate"): SealedFile("wa-1.0.0.crate", "1.0.0", FIRST, 1)}
    previous = load_index_file(_line(FIRST, False) + b"\n")
    body = carry_over(load_index_file(b""), previous, sealed)
    assert body is not None and UNKNOWN in body and b'"yanked":true' in body
