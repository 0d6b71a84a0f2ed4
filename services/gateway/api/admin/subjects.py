"""What an operator asks about: a package URL, in any spelling of its protocol, or a SHA-256."""

from __future__ import annotations

import msgspec
from packageurl import PackageURL

from shared.digests import is_sha256
from shared.errors import InvalidParameter
from shared.protocols import PROTOCOLS

_EXPECTED = f"expected a package URL (pkg:{PROTOCOLS[0].names.purl_type}/name@1.2.3) or a SHA-256"


class Subject(msgspec.Struct, frozen=True):
    """Either `sha256` or the others. Names and version canonical; `version` "" for all."""

    protocol: str = ""
    project: str = ""
    version: str = ""
    sha256: str = ""
    alike: str = ""  # one spelling for all that clients, or package URLs, take for the same project

    @property
    def purl(self) -> str:
        """Of the package; "" of a digest."""
        found = next((each for each in PROTOCOLS if each.name == self.protocol), None)
        if found is None:
            return ""
        namespace, name = found.names.purl_parts(self.project)
        made = PackageURL(found.names.purl_type, namespace or None, name, self.version or None)
        return str(made.to_string())


def read_subject(text: str) -> Subject:
    """Raises `InvalidParameter` for what is neither, and for names and versions that cannot be."""
    text = text.strip()
    digest = text.removeprefix("sha256:").lower()
    if is_sha256(digest):
        return Subject(sha256=digest)
    if len(text) > 2048 or not text.isprintable():
        raise InvalidParameter(f"of: {_EXPECTED}")
    try:
        purl = PackageURL.from_string(text)
    except ValueError:
        raise InvalidParameter(f"of: {_EXPECTED}, not {text[:80]!r}") from None
    found = next((each for each in PROTOCOLS if each.names.purl_type == purl.type), None)
    if found is None:
        kinds = ", ".join(each.names.purl_type for each in PROTOCOLS)
        raise InvalidParameter(
            f"of: no package of the type {purl.type[:40]!r} is served here; there are {kinds}"
        )
    names = found.names
    written = names.project_of_purl(purl.namespace or "", purl.name)
    if not names.is_project_name(written):
        raise InvalidParameter(f"of: {written[:80]!r} cannot be the name of a {found.name} package")
    version = purl.version or ""
    if version and not names.is_version(version):
        raise InvalidParameter(f"of: {version[:80]!r} cannot be a version of a {found.name} package")
    project = names.canonical_name(written)
    version = names.canonical_version(version) if version else ""
    return Subject(found.name, project, version, alike=names.named_alike(project).lower())
