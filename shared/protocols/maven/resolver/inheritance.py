"""Inheritance: a POM and its parents as one model, before any reference is replaced.

As Maven assembles it (maven-model-builder 3.8): active profiles into their POM, then the child over its
parents; of lists by management key, keys compared as written.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.protocols.maven import names
from shared.protocols.maven.model import Coordinates, Pom, RawDependency
from shared.protocols.maven.resolver.activation import Environment, active_profiles
from shared.protocols.resource import DocumentName


class Gap(msgspec.Struct, frozen=True):
    """Why a POM is not at hand. `pending`: it has yet to be brought; `passing`: a later try may work."""

    reason: str
    passing: bool = False
    pending: bool = False


class Notes(msgspec.Struct):
    """What was met on the way."""

    problems: list[str] = []
    read: set[DocumentName] = set()
    passing: bool = False
    pending: bool = False
    invalid: str = ""  # why Maven reads nothing of such a POM

    def add(self, other: Notes) -> None:
        self.problems += other.problems
        self.read |= other.read
        self.passing |= other.passing
        self.pending |= other.pending
        self.invalid = self.invalid or other.invalid

    def gap(self, of: Gap) -> None:
        """Note why something is not at hand."""
        self.pending |= of.pending
        self.passing |= of.passing
        if not of.pending:
            self.problems.append(of.reason)

    def void(self, reason: str) -> None:
        """Note what makes Maven give up on the whole POM."""
        self.problems.append(reason)
        self.invalid = self.invalid or reason


class Raw(msgspec.Struct, frozen=True):
    """A lineage as one model, nothing replaced yet."""

    pom: Pom
    properties: dict[str, str]
    dependencies: list[RawDependency]
    managed: list[RawDependency]
    notes: Notes


def document_name(at: Coordinates) -> DocumentName | None:
    """The POM file of these coordinates; None for what no repository path can hold."""
    plain = all(map(names.is_group_segment, at.group.split("."))) and names.is_artifact(at.artifact)
    if not plain or not names.is_version(at.version):
        return None
    return DocumentName(f"{at.group}:{at.artifact}", at.version, f"{at.artifact}-{at.version}.pom")


def below(
    name: DocumentName, pom: Pom, above: Raw | None, met: Notes, environment: Environment | None
) -> Raw:
    """A POM below its parents' model; without one, `met` says why the lineage ends."""
    properties = dict(above.properties) if above else {}
    notes = Notes([], {name})
    notes.add(above.notes if above else met)
    properties |= pom.own.properties
    # Maven keeps the last of equal dependencies of one POM, at the place of the first.
    dependencies = by_key(pom.own.dependencies)
    managed = list(pom.own.managed)
    for layer in active_profiles(pom, environment):
        properties |= layer.properties
        dependencies = merged(dependencies, layer.dependencies, dominant=True)
        managed = merged(managed, layer.managed, dominant=True)
    if above:
        dependencies = merged(dependencies, above.dependencies)
        managed = merged(managed, above.managed)
    return Raw(pom, properties, dependencies, managed, notes)


def merged(
    target: Iterable[RawDependency], source: Iterable[RawDependency], *, dominant: bool = False
) -> list[RawDependency]:
    """Maven's merge of two lists by management key: the target's, then what only the source has; of equal
    keys the source's with `dominant`. Keys are compared as written."""
    source = list(source)
    if not source:
        return list(target)
    found = {each.key: each for each in target}
    for each in source:
        if dominant:
            found[each.key] = each
        else:
            found.setdefault(each.key, each)
    return list(found.values())


def by_key(dependencies: Iterable[RawDependency]) -> list[RawDependency]:
    """The last of equal dependencies, at the place of the first."""
    return list({each.key: each for each in dependencies}.values())
