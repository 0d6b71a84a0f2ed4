"""Verifies attestations offline, in a process of its own: what strangers wrote costs bounded memory and time,
and the libraries for it (sigstore, and what protocols read attestations with) are loaded nowhere else.
`python -m services.fetcher.provenance.verify`, an `Order` on standard input.

An attestation is a DSSE envelope around an in-toto statement, signed by a key that a certificate of Fulcio
binds to a workflow for some minutes; that it was used then is in the log Rekor, whose proof comes with it.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Any

import msgspec

from services.fetcher.provenance.bounds import bound, in_words
from services.fetcher.provenance.items import Item
from services.fetcher.provenance.signatures import of_registry, read_keys
from shared.policy.evidence import LONGEST, Evidence, Publisher
from shared.protocols import protocol_named
from shared.protocols.roles.documents import Documents

MOST_CPU_SECONDS = 10
MOST_ATTESTATIONS = 16  # of one file

_STATEMENTS = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")
_IN_TOTO = "application/vnd.in-toto+json"
_ENTRIES = ("dsse", "hashedrekord")  # kinds of log entries that the library compares with an envelope
_ISSUER, _REPOSITORY, _WORKFLOW = (f"1.3.6.1.4.1.57264.1.{number}" for number in (8, 12, 18))
_ISSUERS = {"https://token.actions.githubusercontent.com": "GitHub", "https://gitlab.com": "GitLab"}


class Order(msgspec.Struct, frozen=True):
    """`root`: path of a trusted_root.json; "": the one that comes with the library. `keys`: paths of files of
    registries' public keys."""

    root: str
    items: tuple[Item, ...]
    keys: tuple[str, ...] = ()


class _Statement(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(name="_type")
    subjects: tuple[_Subject, ...] = msgspec.field(name="subject")
    predicate: str = msgspec.field(name="predicateType")


class _Subject(msgspec.Struct, frozen=True):
    name: str
    digest: dict[str, str]


class _Anyone:
    """A policy of Sigstore's: whom a certificate names is read out of it once it is verified."""

    def verify(self, certificate: Any) -> None:
        """Takes any."""


class NoProof(Exception):
    """Why attestations do not prove what they should."""


class Unverifiable(Exception):
    """Why nobody here can say."""


def verify(order: Order) -> list[Evidence]:
    """One answer an item; none at all where the trust root or a file of keys cannot be read."""
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    try:
        verifier = Verifier(trusted_root=TrustedRoot.from_file(order.root or embedded_root()))
        keys = read_keys(order.keys)
    except Exception:  # of libraries, about an operator's files: it says nothing of the items
        return []
    found = []
    for item in order.items:
        made = Evidence("unknown")
        if item.document is not None:
            made = _verified(verifier, item, item.document)
        found.append(msgspec.structs.replace(made, signature=of_registry(keys, item)))
    return found


def embedded_root() -> str:
    """Path of the public Sigstore's trust root, as of the library's release."""
    folder = files("sigstore._store").joinpath("https%3A%2F%2Ftuf-repo-cdn.sigstore.dev")
    return str(folder.joinpath("trusted_root.json"))


def _verified(verifier: Any, item: Item, document: bytes) -> Evidence:
    try:
        documents = protocol_named(item.protocol).documents
        publishers = set()
        for number, signed in enumerate(documents.attestations(document)):
            if number >= MOST_ATTESTATIONS:
                raise NoProof(f"it has more than {MOST_ATTESTATIONS} attestations")
            _check_kind(signed.bundle)
            kind, payload = verifier.verify_dsse(signed.bundle, signed.policy or _Anyone())
            if kind != _IN_TOTO:
                raise NoProof("it is no in-toto statement")
            _check_statement(item, documents, payload)
            publishers.add(signed.publisher or _publisher(signed.bundle.signing_certificate))
        if len(publishers) != 1:
            raise NoProof("it names no publisher" if not publishers else "it names several publishers")
        return Evidence("verified", publishers.pop())
    except Unverifiable as error:
        return Evidence("unknown", why=str(error)[:LONGEST])
    except Exception as error:  # of libraries, about what strangers wrote: none of it is proof
        return Evidence("failed", why=in_words(error))


def _check_kind(bundle: Any) -> None:
    kind = bundle.log_entry._inner.kind_version.kind
    if kind not in _ENTRIES:
        raise Unverifiable(f"its log entry is of the kind {kind[:40]!r}, which is not verified here")


def _check_statement(item: Item, documents: Documents, payload: bytes) -> None:
    statement = msgspec.json.decode(payload, type=_Statement)
    if statement.kind not in _STATEMENTS:
        raise NoProof("it is no in-toto statement")
    if len(statement.subjects) != 1:
        raise NoProof("it is about several files")
    (subject,) = statement.subjects
    if subject.digest.get(item.attested.algorithm) != item.digest:
        raise NoProof("it is about a file with another digest")
    if not documents.is_subject(item.attested.subject, subject.name):
        raise NoProof(f"it is about {subject.name!r}")


def _publisher(certificate: Any) -> Publisher:
    """Whom a verified certificate names, by Fulcio's extensions."""
    said = {each.oid.dotted_string: each.value for each in certificate.extensions}
    told = {oid: _text(said[oid].value) for oid in (_ISSUER, _REPOSITORY, _WORKFLOW) if oid in said}
    kind = _ISSUERS.get(told.get(_ISSUER, ""))
    if kind is None:
        raise NoProof(f"its certificate is of {told.get(_ISSUER, 'nobody')}, which runs no workflows")
    host, _, repository = told[_REPOSITORY].removeprefix("https://").partition("/")
    workflow, _, _ = told[_WORKFLOW].removeprefix(told[_REPOSITORY]).strip("/").partition("@")
    workflow = workflow.removeprefix(".github/workflows/")
    if not host or not repository:
        raise NoProof("its certificate names no repository")
    return Publisher(kind, repository[:LONGEST], workflow[:LONGEST])


def _text(der: bytes) -> str:
    """A UTF8String of less than 64 KiB in DER (X.690 §8.1.3)."""
    tag, first, rest = der[0], der[1], der[2:]
    if first >= 0x80:
        count = first & 0x7F
        first, rest = int.from_bytes(rest[:count]), rest[count:]
    if tag != 0x0C or first != len(rest):
        raise NoProof("its certificate has an extension that is no text")
    return rest.decode()


def main() -> None:
    """One order, one answer."""
    bound(MOST_CPU_SECONDS)
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.msgpack.encode(verify(order)))


if __name__ == "__main__":
    main()
