"""One pass's view of the registry: candidates by dependency, out of the documents that it may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import msgspec

from shared.protocols.cargo import names
from shared.protocols.cargo.entries import BadEntry, DependencyEntry, Entry, published_at, read_entry
from shared.protocols.cargo.freezing import Sealed, shown_lines
from shared.protocols.cargo.index import NEWEST_FORMAT, IndexFile, Line
from shared.protocols.cargo.resolver.environments import Environment, can_build
from shared.protocols.cargo.resolver.features import Activation, MissingFeature, activate
from shared.protocols.cargo.resolver.summaries import Dependency, Summary, make_summary
from shared.protocols.cargo.semver import Version, parse_version
from shared.protocols.resolution import Absent, Document, KnownDocuments, Unavailable, Unresolved

_SHOWN_VERSIONS = 5
NOTHING_SEALED: Sealed = {}

Candidates = tuple[Summary, ...]


class Crate(msgspec.Struct, frozen=True):
    """One crate's index file as resolving reads it, the newest version first; `sizes` are those of stored
    files, by filename."""

    file: IndexFile
    lines: tuple[tuple[Version, Line], ...]
    sizes: Mapping[str, int] = {}


def read_crate(file: IndexFile, sealed: Sealed = NOTHING_SEALED) -> Crate:
    """The file's versions, as clients see them who have these files stored."""
    shown = shown_lines(file, sealed)
    read = [(version, line) for line in shown if (version := parse_version(line.version)) is not None]
    newest_first = sorted(read, key=lambda each: each[0].key, reverse=True)
    return Crate(file, tuple(newest_first), {name: each.size_bytes for (_, name), each in sealed.items()})


class Registry:
    """Answers from `known`, remembers there what it worked out, and notes in `needs` what it lacks."""

    def __init__(
        self, known: KnownDocuments, environment: Environment, before: float | None, visible: Set[Document]
    ) -> None:
        self.needs: dict[Document, None] = {}
        self.given: dict[Dependency, Summary] = {}  # versions that are asked for whatever the index says
        self.with_all_features: set[Dependency] = set()
        self._documents = known.documents
        self._memo: dict[Any, Any] = known.memo
        self._environment = environment
        self._before = before
        self._visible = visible

    def crate(self, name: str) -> Crate | Absent | Unavailable | None:
        """A crate's document; None, and noted, if it is not to be seen yet."""
        document = Document("index", names.canonical(name))
        if document not in self._visible:
            self.needs[document] = None
            return None
        found: Crate | Absent | Unavailable = self._documents[document]
        return found

    def intern(self, entry: DependencyEntry) -> Dependency:
        """The one object for all dependencies that are declared alike."""
        found: Dependency | None = self._memo.get(entry)
        if found is None:
            found = self._memo[entry] = Dependency(entry)
        return found

    def asked(self, entry: DependencyEntry) -> Dependency:
        """A dependency of the request itself: never one object with a crate's."""
        key = ("asked", entry)
        found: Dependency | None = self._memo.get(key)
        if found is None:
            found = self._memo[key] = Dependency(entry)
        return found

    def candidates(self, dependency: Dependency) -> Candidates | None:
        """What may fulfil it, the best first; None if that is not known: it is left out (`why_left_out`)."""
        given = self.given.get(dependency)
        if given is not None:
            return (given,)
        key = ("candidates", dependency)
        found: Candidates | None = self._memo.get(key)
        if found is None and not dependency.registry and names.is_name(dependency.crate):
            crate = self.crate(dependency.crate)
            if isinstance(crate, Absent):
                found = ()
            elif isinstance(crate, Crate):
                found = self._find(crate, dependency)
            if found is not None:
                self._memo[key] = found
        return found

    def why_left_out(self, dependency: Dependency, wanted_by: str) -> Unresolved | None:
        """Why a dependency is not followed though its document will not come; None if it is."""
        text = dependency.requirement.text
        if dependency.registry:
            reason = f"it is in another registry ({dependency.registry[:200]})"
            return Unresolved(dependency.crate, reason, wanted_by, text)
        if not names.is_name(dependency.crate):
            return Unresolved(dependency.crate[:80], "it has no crate's name", wanted_by, text)
        crate = self.crate(dependency.crate)
        if isinstance(crate, Unavailable):
            return Unresolved(dependency.crate, crate.reason, wanted_by, text, passing=True)
        return None

    def activation(self, summary: Summary, wanted: frozenset[str], default_features: bool) -> Activation:
        """What a version needs with some features. Raises `MissingFeature` or `FeatureCycle`."""
        key = ("activation", summary, wanted, default_features)
        found: Activation | MissingFeature | None = self._memo.get(key)
        if found is None:
            try:
                found = activate(summary, wanted, default_features)
            except MissingFeature as error:
                found = error
            self._memo[key] = found
        if isinstance(found, MissingFeature):
            raise found
        return found

    def summary(self, crate: str, line: Line) -> Summary | str:
        """One version, or why Cargo takes it for none."""
        key = ("summary", crate, line.version)
        found: Summary | str | None = self._memo.get(key)
        if found is None:
            try:
                entry = read_entry(line.raw)
                found = self._make(entry)
            except BadEntry as error:
                found = str(error)
            self._memo[key] = found
        return found

    def _make(self, entry: Entry) -> Summary:
        summary = make_summary(entry, map(self.intern, entry.deps))
        self._memo["about", summary] = (entry.rust_version or "", published_at(entry))
        return summary

    def _find(self, crate: Crate, dependency: Dependency) -> Candidates:
        found = []
        for version, line in crate.lines:
            # Cargo compares names as they are spelled, though their files are found in lower case.
            if line.name != dependency.crate or line.yanked or line.format > NEWEST_FORMAT:
                continue
            if dependency.requirement.matches(version):
                summary = self.summary(line.name, line)
                if isinstance(summary, Summary) and self._old_enough(summary):
                    found.append(summary)
        return self._best_first(found)

    def _old_enough(self, summary: Summary) -> bool:
        """A version of which the index tells no time counts as old, as for Cargo's own option."""
        published = self._memo["about", summary][1]
        return self._before is None or published is None or published <= self._before

    def _best_first(self, newest_first: Iterable[Summary]) -> Candidates:
        target = self._environment
        if target.rust is None:
            return tuple(newest_first)
        return tuple(
            sorted(newest_first, key=lambda each: not can_build(target, self._memo["about", each][0]))
        )

    def why_none(self, dependency: Dependency) -> str:
        """Why a dependency has no candidates at all."""
        crate = self.crate(dependency.crate)
        if isinstance(crate, Absent | Unavailable):
            return crate.reason
        if crate is None:
            return "it is not known yet"
        spelled = [(version, line) for version, line in crate.lines if line.name == dependency.crate]
        if not spelled:
            return f"the registry spells it {crate.lines[0][1].name}" if crate.lines else "it has no versions"
        fitting = [line for version, line in spelled if dependency.requirement.matches(version)]
        if fitting:
            return "; ".join(f"{line.version}: {self._why_not(line)}" for line in fitting[:_SHOWN_VERSIONS])
        shown = [line.version for _, line in spelled[:_SHOWN_VERSIONS]]
        more = len(spelled) - len(shown)
        return f"there are {', '.join(shown)}" + (f" and {more} more" if more else "")

    def _why_not(self, line: Line) -> str:
        if line.yanked:
            return "it is yanked"
        if line.format > NEWEST_FORMAT:
            return f"its index entry has the format {line.format}, which is newer than what is read"
        summary = self.summary(line.name, line)
        return summary if isinstance(summary, str) else "it was published later"
