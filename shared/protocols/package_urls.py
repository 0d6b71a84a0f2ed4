"""Package URLs (purl specification) of projects and versions."""

from __future__ import annotations

from packageurl import PackageURL

from shared.protocols import find_protocol


def purl(protocol: str, project: str, version: str) -> str:
    """The package URL of a project, of a version if one is given."""
    known = find_protocol(protocol)
    namespace, name = known.names.purl_parts(project) if known is not None else ("", project)
    kind = known.names.purl_type if known is not None else protocol
    made = PackageURL(type=kind, namespace=namespace or None, name=name or "-", version=version or None)
    return str(made.to_string())
