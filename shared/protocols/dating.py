"""What the policy says of the versions in a document, by its protocol's rules. Pure: rows are handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from shared.models import FileName, SealedFile
from shared.policy.age import Dated, Seen, by_name
from shared.policy.content import Held, Project
from shared.policy.project import JudgedEntry, Kept, ProjectVerdicts
from shared.policy.traits import Traits
from shared.protocols.base import PackageProxyBase

Sealed = Mapping[tuple[str, str], SealedFile]


class Beside(NamedTuple):
    """What somebody asks for that a project's own list may lack: what another document of it lists, or a
    file."""

    identity: str = ""
    document: Any = None
    file: FileName | None = None


NOTHING_BESIDE = Beside()
_NO_DIGESTS: Mapping[str, str] = {}


def held_of(
    protocol: PackageProxyBase,
    project: str,
    main: Any,
    verdicts: ProjectVerdicts,
    seen: Seen,
    sealed: Sealed,
    now: float,
    beside: Beside = NOTHING_BESIDE,
) -> ProjectVerdicts:
    """With what may not be served of a project's own list of versions, `main` (None: there is none), and of
    what is `beside` it."""
    if not verdicts.judges or (main is None and beside is NOTHING_BESIDE):
        return verdicts
    judged = judged_of(protocol, project, main, verdicts, seen, sealed.values(), now, beside=beside)
    return verdicts.held(*judged)


def judged_of(
    protocol: PackageProxyBase,
    project: str,
    main: Any,
    verdicts: ProjectVerdicts,
    seen: Seen,
    sealed: Iterable[SealedFile],
    now: float,
    *,
    changes: bool = False,
    beside: Beside = NOTHING_BESIDE,
) -> tuple[list[JudgedEntry], Mapping[str, Held]]:
    """See `ProjectVerdicts.judged`: of all that a project's own list of versions, `main`, names; with what is
    stored and not listed, which is history all the same, and what is `beside`, which is seen just now.
    `changes`: what each has that the last allowed one had not is asked for, whatever the rules ask."""
    sealed = tuple(sealed)
    identity, marks = protocol.grammar.index_identity(project), verdicts.trust is not None
    listed = [] if main is None else list(protocol.documents.dated(identity, main, marks=marks))
    known = {each.name for each in listed}
    more: dict[str, Dated] = {}
    if beside.document is not None:
        told = by_name(protocol.documents.dated(beside.identity, beside.document, marks=marks))
        more = {name: _as_of(each, now) for name, each in told.items()}
    stored = by_entry(protocol, project, sealed, main, beside.document)
    for name in stored.keys() - known:
        first = stored[name][0]
        file = FileName(protocol.name, project, first.file_id, first.filename)
        at = min(each.published or each.stored_at for each in stored[name])
        found = more.get(name) or _unlisted(protocol, file, name, first.digests)
        dated = any(each.published for each in stored[name])
        more[name] = msgspec.structs.replace(found, published=at, here_since=not dated)
    if beside.file is not None:
        name = entry_name(protocol, beside.file, main, beside.document)
        if name not in known and name not in more:
            more[name] = _as_of(_unlisted(protocol, beside.file, name), now)
    listed += [
        msgspec.structs.replace(each, unlisted=True) for name, each in more.items() if name not in known
    ]
    about = project_of(protocol, project, seen, sealed)
    traits: list[Traits] = []
    if verdicts.rules or changes:
        traits = traits_of(protocol, project, main, sealed, beside)
    kept = {name: kept_of(protocol, project, files) for name, files in stored.items()}
    return verdicts.judged(listed, seen, kept, now, about, traits)


def _as_of(entry: Dated, now: float) -> Dated:
    """Of an entry that nothing tells a date of."""
    return msgspec.structs.replace(entry, published=now, here_since=True)


def project_of(protocol: PackageProxyBase, project: str, seen: Seen, sealed: Iterable[SealedFile]) -> Project:
    """What rules may ask of a project itself."""
    used_since = min((each.stored_at for each in sealed), default=0.0)
    return Project(protocol.name, project, seen.source, used_since)


def entry_name(protocol: PackageProxyBase, file: FileName, *documents: Any) -> str:
    """The name of a file's entry in the first of these that has one; else that under which it is judged
    without."""
    names = (protocol.documents.dated_name(each, file) for each in documents if each is not None)
    return next(filter(None, names), "") or _unlisted(protocol, file, "").name


def by_entry(
    protocol: PackageProxyBase, project: str, sealed: Iterable[SealedFile], *documents: Any
) -> dict[str, list[SealedFile]]:
    """The stored files of each entry, by its name (`entry_name`)."""
    found: dict[str, list[SealedFile]] = {}
    for each in sealed:
        file = FileName(protocol.name, project, each.file_id, each.filename)
        found.setdefault(entry_name(protocol, file, *documents), []).append(each)
    return found


def kept_of(protocol: PackageProxyBase, project: str, files: Sequence[SealedFile]) -> Kept:
    """Of the stored files of one entry."""
    stand = protocol.documents.stands_for_entry
    return Kept(
        min(each.stored_at for each in files),
        tuple(e.sha256 for e in files if stand(FileName(protocol.name, project, e.file_id, e.filename))),
    )


def _unlisted(
    protocol: PackageProxyBase, file: FileName, name: str, digests: Mapping[str, str] = _NO_DIGESTS
) -> Dated:
    found = protocol.documents.unlisted(file, _version(protocol, file), digests)
    return msgspec.structs.replace(found, name=name or found.name)


def _version(protocol: PackageProxyBase, file: FileName) -> str:
    asked = protocol.grammar.version_asked(protocol.grammar.artifact_resource(file))
    return protocol.names.canonical_version(asked)


def traits_of(
    protocol: PackageProxyBase,
    project: str,
    main: Any,
    sealed: Iterable[SealedFile],
    beside: Beside = NOTHING_BESIDE,
) -> list[Traits]:
    """What `main`, a project's own list, tells of its versions, and what is `beside` it of others, with the
    licences that only their files tell: of those that are stored. `main` None: there is no list."""
    licences = licences_of(protocol, project, sealed)
    told: dict[str, Traits] = {}
    for identity, document in (
        (beside.identity, beside.document),
        (protocol.grammar.index_identity(project), main),
    ):
        if document is not None:
            told |= {each.version: each for each in protocol.documents.traits(identity, document)}
    found = []
    for each in told.values():
        licence = licences.pop(each.version, None)
        is_new = each.licence is None and licence is not None
        found.append(msgspec.structs.replace(each, licence=licence) if is_new else each)
    return [*found, *(Traits(version, licence=licence) for version, licence in licences.items())]


def licences_of(protocol: PackageProxyBase, project: str, sealed: Iterable[SealedFile]) -> dict[str, str]:
    """By version, as its stored files tell; of several the first that tells any."""
    found: dict[str, str] = {}
    for each in sealed:
        if each.licence is not None:
            version = _version(protocol, FileName(protocol.name, project, each.file_id, each.filename))
            found[version] = found.get(version) or each.licence
    return found
