"""What the policy says of the versions in a document, by its protocol's rules. Pure: rows are handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from shared.models import FileName, SealedFile
from shared.policy.age import Arrival, Dated, Seen, by_name
from shared.policy.content import Held, Project
from shared.policy.project import JudgedEntry, ProjectVerdicts
from shared.policy.traits import Traits
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.documents import Remark

Sealed = Mapping[tuple[str, str], SealedFile]


def held_of(
    protocol: PackageProxyBase,
    project: str,
    main: Any,
    verdicts: ProjectVerdicts,
    seen: Seen,
    sealed: Sealed,
    now: float,
) -> ProjectVerdicts:
    """With what may not be served of a project's own list of versions, `main`; None: there is none."""
    if main is None or not verdicts.judges:
        return verdicts
    return verdicts.held(*judged_of(protocol, project, main, verdicts, seen, sealed.values(), now))


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
) -> tuple[list[JudgedEntry], Mapping[str, Held]]:
    """See `ProjectVerdicts.judged`: of all that a project's own list of versions, `main`, names. `changes`:
    what each has that the last allowed one had not is asked for, whatever the rules ask."""
    sealed = tuple(sealed)
    stored = stored_at(protocol, project, main, sealed)
    identity = protocol.grammar.index_identity(project)
    listed = protocol.documents.dated(identity, main, marks=verdicts.trust is not None)
    about = Project(protocol.name, project, seen.source, seen.since)
    traits = traits_of(protocol, project, main, sealed) if verdicts.rules or changes else ()
    return verdicts.judged(listed, seen, stored, now, about, traits)


def judged_in(
    protocol: PackageProxyBase, project: str, body: bytes, *arguments: Any, changes: bool = False
) -> tuple[list[JudgedEntry], Mapping[str, Held]]:
    """As `judged_of`, of a stored list's canonical bytes. Raises `UpstreamInvalid`."""
    document = protocol.documents.decode_document(body)
    return judged_of(protocol, project, document, *arguments, changes=changes)


def traits_of(
    protocol: PackageProxyBase, project: str, main: Any, sealed: Iterable[SealedFile]
) -> list[Traits]:
    """What `main`, a project's own list, tells of its versions, with the licences that only their files tell:
    of those that are stored. `main` None: there is no list."""
    licences = licences_of(protocol, project, sealed)
    found = []
    identity = protocol.grammar.index_identity(project)
    for each in protocol.documents.traits(identity, main) if main is not None else ():
        told = licences.pop(each.version, None)
        is_new = each.licence is None and told is not None
        found.append(msgspec.structs.replace(each, licence=told) if is_new else each)
    return [*found, *(Traits(version, licence=told) for version, told in licences.items())]


def licences_of(protocol: PackageProxyBase, project: str, sealed: Iterable[SealedFile]) -> dict[str, str]:
    """By version, as its stored files tell; of several the first that tells any."""
    found: dict[str, str] = {}
    for each in sealed:
        if each.licence is not None:
            name = FileName(protocol.name, project, each.file_id, each.filename)
            version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(name))
            found[version] = found.get(version) or each.licence
    return found


class Told(NamedTuple):
    """What a project's list of versions tells, and what is stored: by the entries' names, "" for none of
    them."""

    listed: list[Dated]
    remarks: Mapping[str, Remark]
    stored: dict[str, list[SealedFile]]


def told_in(protocol: PackageProxyBase, project: str, body: bytes, sealed: Iterable[SealedFile]) -> Told:
    """All of it, for people. Raises `UpstreamInvalid`."""
    document = protocol.documents.decode_document(body)
    stored: dict[str, list[SealedFile]] = {}
    for each in sealed:
        file = FileName(protocol.name, project, each.file_id, each.filename)
        stored.setdefault(protocol.documents.dated_name(document, file), []).append(each)
    listed = protocol.documents.dated(protocol.grammar.index_identity(project), document)
    return Told(list(listed), protocol.documents.remarks(document), stored)


def stored_at(
    protocol: PackageProxyBase, project: str, main: Any, sealed: Iterable[SealedFile]
) -> dict[str, float]:
    """When the first file of each entry of `main` was stored (unix seconds)."""
    stored: dict[str, float] = {}
    for file in sealed:
        asked = FileName(protocol.name, project, file.file_id, file.filename)
        name = protocol.documents.dated_name(main, asked)
        stored[name] = min(file.stored_at, stored.get(name, file.stored_at))
    return stored


def held_beside(
    protocol: PackageProxyBase,
    identity: str,
    document: Any,
    main: Any,
    verdicts: ProjectVerdicts,
    now: float,
) -> ProjectVerdicts:
    """With what another document of the project lists and its own list does not: that is seen just now."""
    if not verdicts.judges:
        return verdicts
    known = _listed(protocol, identity, main)
    fresh = {
        name: each
        for name, each in by_name(protocol.documents.dated(identity, document)).items()
        if name not in known
    }
    seen = Seen(now, dict.fromkeys(fresh, Arrival(now, now)))
    about = Project(protocol.name, protocol.grammar.project_of(identity))
    entries, _ = verdicts.judged(fresh.values(), seen, {}, now, about)
    return verdicts.held(entries, verdicts.contents)


def _listed(protocol: PackageProxyBase, identity: str, main: Any) -> Mapping[str, Dated]:
    if main is None:
        return {}
    project = protocol.grammar.project_of(identity)
    return by_name(protocol.documents.dated(protocol.grammar.index_identity(project), main))
