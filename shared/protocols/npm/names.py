"""Names of npm packages, their tarballs' file names, and the identities made of them.

A name is what validate-npm-package-name accepts, old packages included: capitals and `~'!()*` are
theirs, and names that differ by case are different packages.
"""

from __future__ import annotations

import re
from typing import ClassVar
from urllib.parse import quote, unquote

from shared.protocols.npm.popular import POPULAR
from shared.protocols.npm.semver import parse_version
from shared.protocols.roles.grammar import Names

ONE_FILE_ID = "-"  # an address holds no digest: a file is known by its name alone
MAX_NAME_CHARACTERS = 214  # npm documentation, package.json, "name"

_PART = r"[A-Za-z0-9~'!()*-][A-Za-z0-9._~'!()*-]*"
_NAME = re.compile(rf"(?:@[A-Za-z0-9._~-][A-Za-z0-9._~'!()*-]*/)?{_PART}")
_RESERVED = frozenset({"node_modules", "favicon.ico"})
_SCOPE = re.compile(r"@[^/]+/?")
_SPEC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,255}")  # a version (semver 2), or most tags
_TAG = re.compile(r"[A-Za-z0-9_~!'()][A-Za-z0-9._+~!'()@:/-]{0,255}")  # what the registry holds beside
_AS_IT_IS = "+~!'()@"  # of a spec, in an identity
_TARBALL = re.compile(r"[A-Za-z0-9~'!()*-][A-Za-z0-9._+~'!()*-]{0,254}\.tgz")


def is_name(text: str) -> bool:
    """Whether this can be a package's name, with its scope if it has one."""
    if len(text) > MAX_NAME_CHARACTERS or _NAME.fullmatch(text) is None:
        return False
    scope, _, base = text.rpartition("/")
    if base == "-":  # a package of this name is there, and many depend on it by mistake
        return not scope
    return base.lower() not in _RESERVED and scope not in ("@.", "@..")


def is_spec(text: str) -> bool:
    """Whether this can be a version, in a document or in a file's name."""
    return _SPEC.fullmatch(text) is not None


def is_version_or_tag(text: str) -> bool:
    """Whether this can be a version or a tag in an address."""
    return is_spec(text) or (_TAG.fullmatch(text) is not None and text != "__proto__")


def is_tarball(text: str) -> bool:
    """Whether this can be a tarball's file name."""
    return _TARBALL.fullmatch(text) is not None


def tarball_name(name: str, version: str) -> str:
    """The file name that the registry gives a version's tarball: without the scope."""
    return f"{name.rpartition('/')[2]}-{version}.tgz"


def version_of(name: str, filename: str) -> str:
    """The version in a file name of that form, "" where it has another."""
    version = filename.removeprefix(name.rpartition("/")[2] + "-").removesuffix(".tgz")
    return version if is_spec(version) and tarball_name(name, version) == filename else ""


def version_told(name: str, filename: str) -> str:
    """The canonical version that a tarball's name ends with: an upstream's own name may begin otherwise than
    the package's ("scope-name-1.0.0.tgz"), and is kept in lock files. "": it tells none."""
    usual = version_of(name, filename)
    stem = filename.removesuffix(".tgz")
    ends = (stem[at + 1 :] for at, char in enumerate(stem) if char == "-")
    return next((canonical_version(end) for end in (usual, *ends) if parse_version(end)), "")


# --- identities -------------------------------------------------------------------------------------


def packument_identity(project: str) -> str:
    """The identity of a package's document, in all its representations."""
    return f"packument/{project}"


def version_identity(name: str, spec: str) -> str:
    """The identity of the document of one version, or of what a tag points to."""
    return f"version/{name}/{quote(spec, safe=_AS_IT_IS)}"


def has_addresses(identity: str) -> bool:
    """Whether an index of this identity holds addresses of tarballs."""
    return identity.startswith(("packument/", "version/"))


def split_identity(identity: str) -> tuple[str, str, str]:
    """Kind ("packument", "version", "attestations", "keys"), name and the rest of an identity."""
    kind, _, rest = identity.partition("/")
    if kind == "version":
        name, _, spec = rest.rpartition("/")
        return kind, name, unquote(spec)
    if kind == "attestations":
        name, _, version = rest.rpartition("@")
        return kind, name, version
    return kind, rest, ""


def noun_of(identity: str) -> str:
    """What a person calls it."""
    kind, name, rest = split_identity(identity)
    match kind:
        case "version":
            return f"{'version' if is_spec(rest) else 'tag'} {rest} of {name}"
        case "attestations":
            return f"attestations of {name}@{rest}"
        case "keys":
            return "keys for signatures"
    return name or identity


# --- the role ---------------------------------------------------------------------------------------


def canonical_version(version: str) -> str:
    """Without the "v" or "=" that people write before it (semver's loose form)."""
    return version.lstrip("v=")


def meant_patterns(pattern: str) -> tuple[str, ...]:
    """A scope alone means all packages in it: `@acme`, `@acme-*/`."""
    return (pattern, f"{pattern.rstrip('/')}/*") if _SCOPE.fullmatch(pattern) else (pattern,)


def purl_parts(project: str) -> tuple[str, str]:
    """The scope is the namespace."""
    scope, _, name = project.rpartition("/")
    return scope, name


class NpmNames(Names):
    """Names with their capitals and scopes; versions are semver's."""

    osv_ecosystem: ClassVar[str] = "npm"
    purl_type: ClassVar[str] = "npm"
    attests: ClassVar[bool] = True
    popular: ClassVar[frozenset[str]] = POPULAR

    is_project_name = staticmethod(is_name)
    canonical_version = staticmethod(canonical_version)

    def is_version(self, text: str) -> bool:
        return parse_version(text) is not None

    def version_key(self, version: str) -> tuple[object, ...] | None:
        found = parse_version(version)
        return None if found is None else found.key

    meant_patterns = staticmethod(meant_patterns)
    purl_parts = staticmethod(purl_parts)
