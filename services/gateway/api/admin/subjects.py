"""What an operator asks about: a package URL, in any spelling of its protocol, PROTOCOL/NAME@VERSION, or a
SHA-256."""

from __future__ import annotations

import re

import msgspec

from shared.digests import is_sha256
from shared.errors import InvalidParameter
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import purl
from shared.protocols.reading.purls import read_purl

_EXPECTED = f"expected a package URL (pkg:{PROTOCOLS[0].names.purl_type}/name@1.2.3) or a SHA-256"
_PATTERN = re.compile(
    r"(?:^|[/:])\*|[\w./-]\*+(?:@|$)"
)  # a few names of npm's first years hold a * elsewhere
_HINT = "A version stands after @, a namespace before the name; `orchard help why` has examples."


class Subject(msgspec.Struct, frozen=True):
    """Either `sha256` or the others. Names and version canonical; `version` "" for all."""

    protocol: str = ""
    project: str = ""
    version: str = ""
    sha256: str = ""
    alike: str = ""  # as the ledger has it: what clients take for one, in lower case, as many scanners write

    @property
    def purl(self) -> str:
        """Of the package; "" of a digest."""
        return "" if not self.protocol else purl(self.protocol, self.project, self.version)


def read_subject(text: str) -> Subject:
    """Raises `InvalidParameter` for what is neither, and for names and versions that cannot be."""
    text = text.strip()
    digest = text.removeprefix("sha256:").lower()
    if is_sha256(digest):
        return Subject(sha256=digest)
    if len(text) > 2048 or not text.isprintable():
        raise _wrong(_EXPECTED)
    check_no_pattern(text.partition("?")[0])
    own = _by_protocol(text)
    if own is not None:
        return own
    try:
        named = read_purl(text)
    except ValueError:
        raise _wrong(f"{_EXPECTED}, not {text[:80]!r}{_meant(text)}") from None
    found = next((each for each in PROTOCOLS if each.names.purl_type == named.kind), None)
    if found is None:
        kinds = ", ".join(each.names.purl_type for each in PROTOCOLS)
        raise _wrong(f"no package of the type {named.kind[:40]!r} is served here; there are {kinds}")
    return _named(found, found.names.project_of_purl(named.namespace, named.name), named.version)


def _by_protocol(text: str) -> Subject | None:
    """Of PROTOCOL/NAME[@VERSION], the name as its protocol or its package URLs write it."""
    first, slash, rest = text.partition("/")
    found = next((each for each in PROTOCOLS if slash and rest and each.name == first.lower()), None)
    if found is None:
        return None
    name, at, version = rest.rpartition("@")
    if not (at and name):  # a scope's @ is no version's
        name, version = rest, ""
    if not found.names.is_project_name(name):
        namespace, _, last = name.rpartition("/")
        name = found.names.project_of_purl(namespace, last)
    return _named(found, name, version)


def _named(found: PackageProxyBase, written: str, version: str) -> Subject:
    names = found.names
    check_no_pattern(written)
    if not names.is_project_name(written):
        raise _wrong(f"{written[:80]!r} cannot be the name of a {found.name} package")
    if version and not names.is_version(version):
        raise _wrong(f"{version[:80]!r} cannot be a version of a {found.name} package")
    project = names.canonical_name(written)
    canonical = names.canonical_version(version) if version else ""
    alike = names.named_alike(project).lower()
    return Subject(found.name, project, canonical, alike=alike)


def check_no_pattern(name: str) -> None:
    """A name that is meant for several would be taken for that of one, which nothing has. Raises
    `InvalidParameter`."""
    if _PATTERN.search(name):
        raise InvalidParameter(
            f"{name[:80]!r} is a pattern, and this is about one package",
            hint="Patterns stand in `names` of a policy file: docs/firewall.md shows some.",
        )


def written_version(text: str, subject: Subject) -> str:
    """The version in what was asked for, as it is spelt there; "" where it names none."""
    return read_purl(text.strip()).version if subject.version else ""


def told_subject(text: str, subject: Subject) -> str:
    """What was asked for, for who asked: its package URL with the version as it was spelt; "" of a digest."""
    if not subject.protocol:
        return ""
    return purl(subject.protocol, subject.project, written_version(text, subject))


def _wrong(why: str) -> InvalidParameter:
    return InvalidParameter(f"of: {why}", hint=_HINT)


def _meant(text: str) -> str:
    """Of the bare name of a package, or NAME@VERSION, which package URLs that may be; "" for what is none."""
    name, at, version = text.rpartition("@")
    if not (at and name):
        name, version = text, ""
    found = [
        purl(each.name, each.names.canonical_name(name), version)
        for each in PROTOCOLS
        if each.names.is_project_name(name) and (not version or each.names.is_version(version))
    ]
    return f"; did you mean {' or '.join(found)}?" if found else ""
