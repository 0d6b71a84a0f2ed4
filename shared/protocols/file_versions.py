"""Which version a file is of, by its name: canonical, which is a key, and as its publisher spells it, which
is what people and documents are told."""

from __future__ import annotations

from shared.models import FileName
from shared.protocols import find_protocol


def version_of(file: FileName) -> str:
    """Canonical, as its protocol's grammar reads it out of the name; "" where that tells none."""
    protocol = find_protocol(file.protocol)
    if protocol is None:
        return ""
    return protocol.grammar.version_asked(protocol.grammar.artifact_resource(file))


def told_version(protocol: str, project: str, version: str, *names: str) -> str:
    """A canonical version, as the first of these names that is of it spells it."""
    known = find_protocol(protocol)
    return version if known is None else known.names.told_version(project, version, *names)


def told_version_of(file: FileName) -> str:
    """As the file's own name spells it."""
    return told_version(file.protocol, file.project, version_of(file), file.filename)
