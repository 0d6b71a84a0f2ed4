"""Names of projects and files, identities and ids made of them: which are accepted, and their one canonical
spelling.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import ClassVar

from packaging.utils import canonicalize_version
from packaging.version import InvalidVersion, Version

from shared.protocols.pypi.popular import POPULAR
from shared.protocols.roles.grammar import Names

MAX_PROJECT_CHARACTERS = 200
MAX_FILENAME_CHARACTERS = 255

# PEP 508 "Names": ASCII letters, digits, "-", "_", ".", starting and ending with a letter or digit.
_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_NORMALISED = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SEPARATORS = re.compile(r"[-_.]+")

# What an index may list: wheels, sdists, eggs and the installers of former times. The set of
# characters leaves out all that would need escaping in a URL path, HTML, JSON or a header.
SDISTS = (
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tar.lzma", ".tar.lz", ".tar.zst", ".tar.Z"),
    *(".zip", ".tgz", ".tbz", ".txz", ".tlz", ".tar"),
)
"""What some client unpacks as a source distribution; the specification has `.tar.gz` alone."""

SUFFIXES = (*SDISTS, ".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg")  # of all but wheels

ARCHIVE = r"[A-Za-z0-9_][A-Za-z0-9._+!~-]*(?:\.whl|" + "|".join(map(re.escape, SUFFIXES)) + ")"
_DISTRIBUTION_FILE = re.compile(ARCHIVE)
_SERVED_FILE = re.compile(ARCHIVE + r"(?:\.metadata|\.asc)?")

# PEP 440 in its loose spellings; the legacy JSON API takes versions as they were uploaded.
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.!+_~-]*[A-Za-z0-9])?")


def normalise(name: str) -> str:
    """The canonical spelling of a project's name (PEP 503 "Normalized Names")."""
    return _SEPARATORS.sub("-", name).lower()


def is_project(text: str) -> bool:
    """Whether this can be a project's name, in any spelling (PEP 508), at most 200 characters."""
    return len(text) <= MAX_PROJECT_CHARACTERS and _PROJECT.fullmatch(text) is not None


def is_normalised(name: str) -> bool:
    """Whether this is a project's name in its canonical spelling."""
    return len(name) <= MAX_PROJECT_CHARACTERS and _NORMALISED.fullmatch(name) is not None


def is_version(version: str) -> bool:
    """Whether this can stand in the version's place of a legacy JSON address."""
    return len(version) <= MAX_PROJECT_CHARACTERS and _VERSION.fullmatch(version) is not None


def is_distribution_file(filename: str) -> bool:
    """Whether an index may list a file of this name: a known shape, at most 255 characters."""
    return len(filename) <= MAX_FILENAME_CHARACTERS and _DISTRIBUTION_FILE.fullmatch(filename) is not None


def is_served_file(filename: str) -> bool:
    """As `is_distribution_file`, and also its core metadata (PEP 658) or signature (PEP 503)."""
    return len(filename) <= MAX_FILENAME_CHARACTERS + 9 and _SERVED_FILE.fullmatch(filename) is not None


def parent_file(filename: str) -> tuple[str, str]:
    """A served file's distribution and the suffix added to it: ("x.whl", ".metadata")."""
    for suffix in (".metadata", ".asc"):
        if filename.endswith(suffix):
            return filename[: -len(suffix)], suffix
    return filename, ""


def canonical_version(version: str) -> str:
    """The one spelling under which a version is blocked: "1.0" and "1.0.0" are one (PEP 440)."""
    return canonicalize_version(version)


@lru_cache(maxsize=4096)
def version_key(version: str) -> Version | None:
    """The order of PEP 440; None for what is no such version."""
    try:
        return Version(version)
    except InvalidVersion:
        return None


# A version at the start of what else stands in the names of installers and eggs (PEP 440, loosely).
_START = re.compile(
    r"v?(?:[0-9]+!)?[0-9]+(?:\.[0-9]+)*(?:[._-]?(?:alpha|beta|pre|post|dev|rc|a|b|c)[._-]?[0-9]*)*", re.I
)

_PLATFORM = re.compile(r"\.(?:linux|macosx|win|cygwin|freebsd|darwin|solaris|sunos|aix)[0-9A-Za-z_.-]*$")
"""Behind the version of a built distribution that is an archive ("bdist_dumb" of distutils)."""


def spelt_version(project: str, name: str) -> str:
    """The version in a file's name (its metadata's and signature's too), "" if it has none."""
    filename, _ = parent_file(name)
    if filename.endswith(".whl"):
        parts = filename[:-4].split("-")  # binary distribution format: name-version(-build)-tags
        return parts[1].replace("_", "-") if len(parts) >= 5 else ""
    stem = next((filename[: -len(suffix)] for suffix in SUFFIXES if filename.endswith(suffix)), "")
    for at in (found.start() for found in re.finditer("-", stem)):
        if normalise(stem[:at]) == project:
            rest = _PLATFORM.sub("", stem[at + 1 :])
            usual = filename.endswith((".tar.gz", ".zip"))
            if not usual and not (filename.endswith(SDISTS) and version_key(rest)):
                found = _START.match(rest)  # others name platforms behind the version
                rest = found[0] if found is not None else rest
            return rest
    return ""


def meant_patterns(pattern: str) -> tuple[str, ...]:
    """An operator writes `Acme_*` and means acme-* (PEP 503)."""
    return (normalise(pattern),)


class PyPINames(Names):
    """Names as PEP 503 normalises them, versions as PEP 440 does."""

    osv_ecosystem: ClassVar[str] = "pypi"
    purl_type: ClassVar[str] = "pypi"
    attests: ClassVar[bool] = True
    popular: ClassVar[frozenset[str]] = POPULAR

    canonical_name = staticmethod(normalise)
    is_project_name = staticmethod(is_project)
    canonical_version = staticmethod(canonical_version)
    spelt_version = staticmethod(spelt_version)
    meant_patterns = staticmethod(meant_patterns)

    def named_version(self, text: str) -> tuple[str, str]:
        """Also as a requirement has it: "name==1.0"."""
        name, _, version = text.partition("==")
        return (name.strip(), version.strip()) if version else super().named_version(text)

    def version_key(self, version: str) -> Version | None:
        return version_key(version)


ROOT = "simple/"
_STABLE = re.compile(r"id-[0-9a-f]{40}")


def simple_identity(project: str) -> str:
    """The identity of a project's simple page; of the list of projects for ""."""
    return f"simple/{project}"


def json_identity(project: str, version: str = "") -> str:
    """The identity of a legacy JSON document, of one version or of the newest."""
    return f"json/{project}/{version}" if version else f"json/{project}"


def split_identity(identity: str) -> tuple[str, str, str]:
    """Kind ("simple" or "json"), project and version of an index identity."""
    kind, _, rest = identity.partition("/")
    project, _, version = rest.partition("/")
    return kind, project, version


def is_stable_id(text: str) -> bool:
    """Whether this has the form of an id that stands in for an unknown digest."""
    return _STABLE.fullmatch(text) is not None


def stable_id(source_name: str, project: str, filename: str) -> str:
    """The id of a file whose SHA256 the upstream does not publish (docs/decisions/0003).

    Depends on nothing that changes: the source by its name, the normalised project, the file.
    """
    digest = hashlib.sha256("\0".join((source_name, project, filename)).encode()).hexdigest()
    return f"id-{digest[:40]}"
