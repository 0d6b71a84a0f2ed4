"""What the solver works on: declared requirements, requirements with their parent, candidates."""

from __future__ import annotations

import msgspec
from packaging import requirements as pep508
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from shared.protocols.pypi.resolver.candidates import PageFile


class Declared:
    """A declared requirement, parsed once."""

    __slots__ = ("extras", "marker", "name", "operators", "specifier", "specifier_text", "text", "url")

    def __init__(self, requirement: pep508.Requirement) -> None:
        self.name = canonicalize_name(requirement.name)
        self.extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
        self.marker = requirement.marker
        self.url = requirement.url
        self.text = str(requirement)
        self.specifier = requirement.specifier
        self.specifier_text = str(requirement.specifier)
        self.operators = operators_of(requirement.specifier)


def operators_of(specifier: SpecifierSet) -> tuple[bool, bool, bool]:
    """Whether it pins a version, bounds it above, says anything at all."""
    pairs = [(one.operator, one.version) for one in specifier]
    pinned = any(op in ("==", "===") and "*" not in version for op, version in pairs)
    bounded = any(op in ("<", "<=", "~=") or (op == "==" and "*" in version) for op, version in pairs)
    return pinned, bounded, bool(pairs)


class Metadata(msgspec.Struct, frozen=True):
    """What a file's core metadata says, as far as the solver asks."""

    requires_python: SpecifierSet | None
    requirements: tuple[Declared, ...]
    extras: frozenset[str]  # normalised


class Requirement:
    """A requirement with the candidate that declares it. Compared by identity: each is made once."""

    __slots__ = (
        "exact", "extras", "identifier", "name", "operators", "parent", "specifier", "specifier_text", "text",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        extras: frozenset[str],
        text: str,
        parent: Candidate | None,
        exact: Candidate | None = None,
        declared: Declared | None = None,
    ) -> None:
        self.name = name
        self.extras = extras
        self.specifier = _ANY if declared is None else declared.specifier
        self.specifier_text = "" if declared is None else declared.specifier_text
        self.operators = (False, False, False) if declared is None else declared.operators
        self.text = text  # as declared
        self.parent = parent
        self.exact = exact  # nothing but this candidate will do
        self.identifier = identifier(name, extras)


_ANY = SpecifierSet()


class Candidate:
    """A file with a set of extras, or (`file` None) a placeholder while the candidates are unknown."""

    __slots__ = ("extras", "file", "identifier", "name", "reason", "version")

    def __init__(
        self,
        name: str,
        extras: frozenset[str],
        version: Version | None,
        file: PageFile | None,
        reason: str = "",
    ) -> None:
        self.name = name
        self.extras = extras
        self.version = version
        self.file = file
        self.reason = reason  # why an unknown one is unknown
        self.identifier = identifier(name, extras)

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


def identifier(name: str, extras: frozenset[str]) -> str:
    """The solver's identifier of a project with a set of extras."""
    return f"{name}[{','.join(sorted(extras))}]" if extras else name
