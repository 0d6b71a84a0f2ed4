"""Verifies detached OpenPGP signatures (RFC 9580 §10.4) offline, in a process of its own: what strangers
wrote costs bounded memory and time, and the library for it is loaded nowhere else.
`python -m services.fetcher.provenance.openpgp`, a `SignedFile` on standard input.

By the library's policy a key counts as of when it signed: one that expired since is good, one that was
revoked as compromised never is. SHA-1 and MD5 are no digests any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pysequoia
from pysequoia.packet import PacketPile, SignatureType, Tag

from services.fetcher.provenance.bounds import bound, in_words
from services.fetcher.provenance.items import SignedFile
from shared.policy.evidence import OPENPGP, Evidence, Publisher

MOST_SIGNATURES = 8  # of one file
MOST_KEY_BYTES = 16 * 1024 * 1024  # of a file of keys


def verify(order: SignedFile) -> Evidence:
    """Verified: by the first right one of the signatures. Unknown: none of the keys is here."""
    wanted = frozenset(order.fingerprints)
    known = [each for path in order.keys for each in _certificates(Path(path), wanted)]
    if not known:
        return Evidence("unknown", why="none of its keys is in a file of ORCHARD_SIGNING_KEYS")
    try:
        found = list(_signatures(order.signature))
    except Exception as error:  # of the library, about what strangers wrote
        return Evidence("failed", why=f"its signature cannot be read: {_first_line(error)}")
    why = "it has no signature of a file"
    for signature in found:
        by = signature.issuer_fingerprint or signature.issuer_key_id or "nobody"
        try:
            done = pysequoia.verify(
                order.content if not order.path else None,
                lambda ids: known,
                file=order.path or None,
                signature=signature,
            )
        except Exception as error:
            why = f"its signature by {by} is false, or of another key: {_first_line(error)}"
            continue
        for right in done.valid_sigs:
            if wanted & {right.certificate, right.signing_key}:
                return Evidence("verified", Publisher(OPENPGP, right.certificate))
        why = f"its signature is by {by}, which may not sign it"
    return Evidence("failed", why=in_words(Exception(why)))


def _signatures(armored: bytes) -> Iterator[pysequoia.Sig]:
    pile = PacketPile.from_bytes(armored)
    if len(pile) > MOST_SIGNATURES:
        raise ValueError(f"more than {MOST_SIGNATURES} packets")
    for packet in pile:
        if packet.tag != Tag.Signature:
            raise ValueError("it has packets of other kinds")
        if packet.signature_type == SignatureType.Binary:  # a text's line ends may differ
            yield pysequoia.Sig.from_bytes(bytes(packet))


def _certificates(path: Path, wanted: frozenset[str]) -> Iterator[pysequoia.Cert]:
    """Those of a file that may have signed. One that cannot be read has none."""
    try:
        if path.stat().st_size > MOST_KEY_BYTES:
            return
        found: Iterable[pysequoia.Cert] = pysequoia.Cert.split_file(str(path))
    except Exception:  # of the library, or of the file system: an operator's file
        return
    for each in found:
        if each.fingerprint in wanted or wanted.intersection(_subkeys(each)):
            yield each


def _subkeys(certificate: pysequoia.Cert) -> Iterator[str]:
    for packet in PacketPile.from_bytes(bytes(certificate)):
        if packet.tag == Tag.PublicSubkey and packet.fingerprint:
            yield packet.fingerprint


def _first_line(error: Exception) -> str:
    return in_words(error).partition(" Stack backtrace")[0]


def main() -> None:
    """One order, one answer."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=SignedFile)
    bound(order.seconds)
    sys.stdout.buffer.write(msgspec.msgpack.encode(verify(order)))


if __name__ == "__main__":
    main()
