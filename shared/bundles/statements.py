"""The statements in a bundle (docs/decisions/0048, 0049): of files that it has, by keys that are trusted.

Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shared.builds.entries import BuildList
from shared.bundles.form import BundleRefused
from shared.bundles.manifest import Manifest
from shared.models import FileName
from shared.protocols.file_versions import told_version_of, version_of
from shared.protocols.package_urls import purl
from shared.tlog.dsse import DEPENDENCY, is_named, read_statement
from shared.tlog.notes import Key
from shared.tlog.signing import is_signed
from shared.tlog.trees import Unproven

MOST_BYTES = 65_536  # of one envelope


class Stated(NamedTuple):
    """What a statement is about: a stored file under one of its names."""

    protocol: str
    project: str
    version: str  # canonical
    sha256: str


def stated_in(listed: BuildList) -> list[Stated]:
    """What statements of a build's files can be about, in its order, each once."""
    found: dict[Stated, None] = {}
    for each in listed.files:
        if each.stored is not None:
            found[_stated(each.file, each.stored.sha256)] = None
    return list(found)


def _stated(file: FileName, sha256: str) -> Stated:
    return Stated(file.protocol, file.project, version_of(file), sha256)


def _by_name(listed: BuildList) -> dict[tuple[str, str], Stated]:
    """By digest and package URL, as statements name them: with the version as the publisher spells it, in
    those that an older Orchard made canonical."""
    found = {}
    for each in listed.files:
        if each.stored is not None:
            about = _stated(each.file, each.stored.sha256)
            for version in (told_version_of(each.file), about.version):
                found[about.sha256, purl(about.protocol, about.project, version)] = about
    return found


def check_statements(manifest: Manifest, keys: Sequence[Key]) -> dict[Stated, bytes]:
    """The envelopes by what they are about. `keys`: the bundle's own, and those that are trusted beside it.
    Raises `BundleRefused`, which names the place. Takes a millisecond each."""
    known = _by_name(manifest.listed)
    found: dict[Stated, bytes] = {}
    for at, envelope in enumerate(manifest.statements):
        name = f"statements[{at}]"
        if len(envelope) > MOST_BYTES:
            raise BundleRefused(f"{name}: {len(envelope)} bytes are too many for a statement")
        try:
            about = _about(envelope, keys, known)
        except Unproven as error:
            raise BundleRefused(f"{name}: {error}") from None
        if about in found:
            raise BundleRefused(f"{name}: a second statement about {about.sha256}")
        found[about] = envelope
    return found


def _about(envelope: bytes, keys: Sequence[Key], known: Mapping[tuple[str, str], Stated]) -> Stated:
    key = next((each for each in keys if is_named(envelope, each)), None)
    if key is None:
        raise Unproven("it is signed by a key that nobody here has trusted: --trust names it")
    statement = read_statement(envelope, key, DEPENDENCY, is_signed)
    subject = statement.whole["subject"][0]
    about = known.get((str(subject["digest"].get("sha256")), str(subject.get("uri"))))
    if len(statement.subjects) != 1 or about is None:
        raise Unproven("it is about no file of the bundle")
    return about
