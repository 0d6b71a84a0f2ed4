"""What of a lock is stored somewhere: of each file that it names the stored ones, by name and digests.

Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from shared.errors import EnsureInvalid
from shared.models import FileName
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.pins import Elsewhere, Pin, first_different
from shared.resolving.pinned import ENSURE_KIND, PinnedFiles, kind_of, read_lock


class Stored(msgspec.Struct, frozen=True):
    """A file that is stored."""

    file: FileName
    sha256: str
    digests: Mapping[str, str]  # further ones of its bytes, algorithm → hex


class AdmittedFile(msgspec.Struct, frozen=True):
    """A stored file."""

    file: str
    sha256: str


class LockedFile(msgspec.Struct, frozen=True):
    """A file that the lock names. `admitted`: the stored ones of its name that have its digests; any of them,
    where the lock has digests of several."""

    protocol: str
    name: str
    version: str  # as the lock spells it
    file: str  # "" where the lock tells none
    digests: dict[str, list[str]]  # of the lock, by algorithm, in lower-case hex
    optional: bool  # the lock does not tell whether there is such a file
    admitted: list[AdmittedFile]
    others: list[AdmittedFile]  # stored under its name, with other bytes


class LockedFiles(msgspec.Struct, frozen=True):
    """What a lock names."""

    kind: str
    files: list[LockedFile]
    elsewhere: list[Elsewhere]  # packages of no registry


def read_locked(body: bytes, kind: str, name: str) -> tuple[str, PinnedFiles]:
    """A lock of this kind; "": of that which its file's name and its beginning tell. Raises `EnsureInvalid`
    with the place of what is wrong."""
    kind = kind or kind_of(name, body)
    if not kind or kind == ENSURE_KIND:
        raise EnsureInvalid("a lock is expected here; kind= says which, where its name does not")
    return kind, read_lock(kind, body)


def matched(
    protocol: PackageProxyBase, projects: Collection[str], pins: Sequence[Pin], stored: Iterable[Stored]
) -> list[LockedFile]:
    """Of the pins of these projects. `stored`: what is stored of those."""
    by_file: dict[tuple[str, str], list[Stored]] = {}
    by_version: dict[tuple[str, str], list[Stored]] = {}
    for each in stored:
        project = each.file.project
        by_file.setdefault((project, each.file.filename), []).append(each)
        version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(each.file))
        by_version.setdefault((project, version), []).append(each)
    found = []
    for pin in pins:
        if pin.name in projects:
            version = protocol.names.canonical_version(pin.version)
            named = (
                by_file.get((pin.name, pin.filename)) if pin.filename else by_version.get((pin.name, version))
            )
            found.append(_named(protocol, pin, named or ()))
    return found


def _named(protocol: PackageProxyBase, pin: Pin, stored: Iterable[Stored]) -> LockedFile:
    """`stored`: files of its name, or of its version where it tells none."""
    same: list[AdmittedFile] = []
    others: list[AdmittedFile] = []
    for each in stored:
        is_other = first_different(pin.digests, {**each.digests, "sha256": each.sha256})
        (others if is_other else same).append(AdmittedFile(each.file.filename, each.sha256))
    digests = {algorithm: text.split() for algorithm, text in pin.digests}
    return LockedFile(protocol.name, pin.name, pin.version, pin.filename, digests, pin.optional, same, others)
