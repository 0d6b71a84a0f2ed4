"""Package URLs (purl specification) of projects and versions."""

from __future__ import annotations

from collections.abc import Mapping

from shared.protocols import find_protocol
from shared.protocols.file_versions import told_version
from shared.protocols.reading.purls import Purl

NONE: Mapping[str, str] = {}


def exact_purl(protocol: str, project: str, version: str, qualifiers: Mapping[str, str] = NONE) -> str:
    """The package URL of a project, of a version if one is given: for what is kept or signed. Raises
    `ValueError` where it has no name."""
    known = find_protocol(protocol)
    namespace, name = known.names.purl_parts(project) if known is not None else ("", project)
    kind = known.names.purl_type if known is not None else protocol
    return str(Purl(kind, name, namespace, version, qualifiers))


def told_purl(protocol: str, project: str, version: str, *names: str) -> str:
    """That of a canonical version, to be shown: as `names`, of its entries and files, spell it."""
    return purl(protocol, project, told_version(protocol, project, version, *names))


def purl(protocol: str, project: str, version: str) -> str:
    """The same to be shown: with "-" where it has no name."""
    return exact_purl(protocol, project or "-", version)
