"""When versions were deployed. Metadata tells one moment: that of its last change, which is of the version
that it calls the newest. The others are older; how old, each file's Last-Modified says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from shared.errors import UpstreamInvalid
from shared.models import FileName
from shared.policy.age import LONG_AGO, Dated
from shared.protocols.maven import names, paths
from shared.protocols.maven.listing import read_listing

_UPDATED = re.compile(r"[0-9]{14}")


def dated(identity: str, document: bytes, *, marks: bool = False) -> Iterator[Dated]:
    """See `Documents.dated`."""
    if identity != paths.metadata_identity(paths.project_of(identity)):
        return
    try:
        listing = read_listing(document)
    except UpstreamInvalid:  # kept before it was read so strictly: its rendering says what is wrong
        return
    newest = {listing.latest, listing.release} - {""} or set(listing.versions[-1:])
    updated = _seconds(listing.updated)
    for version in dict.fromkeys([*listing.versions, *newest]):
        of_builds = version.endswith(names.SNAPSHOT)  # each has a date of its own (`dated_whole`)
        yield Dated(version, version, updated if version in newest and not of_builds else LONG_AGO)


def tags(document: bytes) -> dict[str, str]:
    """See `Documents.tags`: what metadata calls the latest, of snapshots too, and the release."""
    try:
        listing = read_listing(document)
    except UpstreamInvalid:
        return {}
    found = {"latest": listing.latest, "release": listing.release}
    return {tag: version for tag, version in found.items() if version}


def dated_whole(identity: str, document: bytes, modified: float) -> float | None:
    """See `Documents.dated_whole`: of a snapshot the metadata that names its newest build, files without a
    timestamp, and what points at them."""
    kind, _, path = identity.partition("/")
    if kind in (paths.FILE_KIND, paths.POINTER_KIND) and "/" in path:
        return modified
    if kind != paths.METADATA_KIND or not path.endswith(names.SNAPSHOT):
        return None
    try:
        return _seconds(read_listing(document).updated)
    except UpstreamInvalid:
        return 0.0


def _seconds(updated: str) -> float:
    """Unix seconds of `lastUpdated` (yyyyMMddHHmmss, UTC); 0 of anything else."""
    if _UPDATED.fullmatch(updated) is None:
        return 0.0
    try:
        return max(0.0, datetime.strptime(updated, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0.0


def dated_name(document: bytes, file: FileName) -> str:
    """See `Documents.dated_name`."""
    return paths.split_file_id(file.file_id)[0]


def dating_file(project: str, listed: Dated) -> FileName | None:
    """See `Documents.dating_file`: the POM. That of a snapshot is another one tomorrow."""
    version = listed.version
    if version.endswith(names.SNAPSHOT) or not names.is_version(version):
        return None
    return FileName("maven", project, version, f"{project.rpartition(':')[2]}-{version}.pom")


def dates_version(file: FileName) -> bool:
    """The POM and the main artifact do: sources, documentation and signatures are deployed later too, and so
    are the builds of a snapshot."""
    version = dated_name(b"", file)
    extension = file.filename.removeprefix(f"{file.project.rpartition(':')[2]}-{version}.")
    is_build = version.endswith(names.SNAPSHOT)
    return not is_build and extension != file.filename and "." not in extension
