"""The rules by which a set of files is found: pip's, as a provider for resolvelib's solver.

Compared with pip the interpreter is a fixed value, nothing is installed or built, and a document that is
missing is added to `needs` and treated as one without constraints, so that one run names all documents that
the next will want. Only a run without `needs` gives a result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from resolvelib import AbstractProvider

from shared.errors import ResolutionTooLarge
from shared.protocols.pypi.resolver.candidates import Chosen, Page, PageFile, choose
from shared.protocols.pypi.resolver.environments import Environment
from shared.protocols.pypi.resolver.model import Candidate, Declared, Metadata, Requirement, identifier
from shared.protocols.resolution import MAX_NODES, Absent, Document, KnownDocuments, Unavailable

PYTHON = "<python>"
_PROMOTED_AFTER = 5  # conflicts in which a project was not yet pinned: then it comes first
_ENOUGH_NEEDS = 256  # of one run: further search without them is guessing


class Provider(AbstractProvider[Requirement, Candidate, str]):
    """One run of the solver."""

    def __init__(
        self,
        *,
        known: KnownDocuments,
        environment: Environment,
        before: float | None,
        all_extras_of: frozenset[str],
        give_up: Callable[[], bool],
    ) -> None:
        """`before`: unix seconds. `all_extras_of`: projects whose every extra is wanted. `give_up`:
        asked now and then."""
        self.order: dict[str, int] = {}  # of what was requested, by identifier
        self.needs: dict[Document, None] = {}
        self.stand_ins: dict[str, Candidate] = {}  # by identifier
        self._known = known
        self._environment = environment
        self._before = before
        self._all_extras_of = all_extras_of
        self._give_up = give_up
        self._candidates: dict[tuple[str, str], Candidate] = known.memo.setdefault("candidates", {})
        self._satisfied: dict[str, dict[int, bool]] = known.memo.setdefault("satisfied", {})
        self._broken = {
            (document.project, document.filename)
            for document, found in known.documents.items()
            if document.kind == "metadata" and isinstance(found, Absent)
        }
        self._with_broken = {name for name, _ in self._broken}
        self._dependencies: dict[int, tuple[Candidate, list[Requirement]]] = {}
        self._introduced: dict[str, Candidate] = {}  # the candidate that first required an identifier
        self._conflicts: Counter[str] = Counter()
        self._promoted: set[str] = set()
        self._python = Candidate(PYTHON, frozenset(), environment.python, None)
        self.unknown_metadata: dict[str, tuple[str, bool]] = {}  # file name → why, whether passing
        self.urls: list[tuple[Candidate | None, Declared]] = []

    @property
    def python(self) -> Version:
        """The environment's interpreter."""
        return self._environment.python

    def first_parent(self, candidate: Candidate) -> Candidate | None:
        """The candidate that first required this one; None if the request did."""
        return None if candidate.identifier in self.order else self._introduced.get(candidate.identifier)

    # --- the solver's questions -----------------------------------------------------------------

    def identify(self, requirement_or_candidate: Requirement | Candidate) -> str:
        return requirement_or_candidate.identifier

    def is_satisfied_by(self, requirement: Requirement, candidate: Candidate) -> bool:
        if requirement.exact is not None:
            return candidate is requirement.exact
        if candidate.version is None or not requirement.specifier_text:
            return True
        answers = self._satisfied.setdefault(requirement.specifier_text, {})
        answer = answers.get(id(candidate))
        if answer is None:
            answer = requirement.specifier.contains(candidate.version, prereleases=True)
            if candidate.file is not None:  # such candidates live as long as these answers do
                answers[id(candidate)] = answer
        return answer

    def narrow_requirement_selection(
        self,
        identifiers: Iterable[str],
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> Iterable[str]:
        """The interpreter first, then what the last conflict was about, then what often is."""
        involved = set()
        for cause in backtrack_causes:
            for one in (cause.requirement, cause.parent):
                if one is None:
                    continue
                involved.add(one.identifier)
                if one.identifier not in resolutions:
                    self._conflicts[one.identifier] += 1
                    if self._conflicts[one.identifier] >= _PROMOTED_AFTER:
                        self._promoted.add(one.identifier)
        names = list(identifiers)
        if PYTHON in names:
            return [PYTHON]
        return (
            [name for name in names if name in involved]
            or [name for name in names if name in self._promoted]
            or names
        )

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> Any:
        """pip's order: fixed files, pinned, bounded above, as requested, constrained, by name."""
        if identifier == PYTHON:
            return (False,)
        wanted = [info.requirement for info in information[identifier]]
        fixed = any(one.exact is not None for one in wanted)
        return (
            identifier not in self._promoted,
            not fixed,
            not any(one.operators[0] for one in wanted),
            not any(one.operators[1] for one in wanted),
            self.order.get(identifier, math.inf),
            not any(one.operators[2] for one in wanted),
            identifier,
        )

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Requirement]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Sequence[Candidate]:
        """The candidates that satisfy all requirements on a project, the most preferred first."""
        if self._give_up():
            raise ResolutionTooLarge("the resolution took more time than it may")
        own = list(requirements[identifier])
        if identifier == PYTHON:
            fits = all(one.specifier.contains(self._environment.python, prereleases=True) for one in own)
            return [self._python] if fits else []
        name, extras = own[0].name, own[0].extras
        wanted = own + (list(requirements[name]) if extras and name in requirements else [])
        refused = {id(each) for each in incompatibilities[identifier]}
        exact = {id(one.exact): one.exact for one in wanted if one.exact is not None}
        if exact:
            candidates = [self._with_extras(candidate, extras) for candidate in exact.values()]
            candidates = [each for each in candidates if all(self.is_satisfied_by(one, each) for one in own)]
        else:
            candidates = self._matching(name, extras, wanted)
        if not refused:
            return candidates
        return [each for each in candidates if id(each) not in refused]

    def get_dependencies(self, candidate: Candidate) -> list[Requirement]:
        """What a candidate requires; with extras, first its own base."""
        made = self._dependencies.get(id(candidate))
        if made is None:
            made = self._dependencies[id(candidate)] = (candidate, list(self._requirements_of(candidate)))
            for requirement in made[1]:
                self._introduced.setdefault(requirement.identifier, candidate)
            if len(self._dependencies) > MAX_NODES * 4:
                raise ResolutionTooLarge("too many candidates had to be tried")
        return made[1]

    # --- looking ahead ----------------------------------------------------------------------------

    def look_ahead(self, wanted: Sequence[Requirement]) -> None:
        """Finds the missing documents of a graph in which every project takes the best candidate that its
        requirements admit. No search: much cheaper than a run of the solver, and mostly what a run needs.

        Raises `EnoughNeeds`, `ResolutionTooLarge`.
        """
        own: dict[str, list[Requirement]] = {}
        taken: dict[str, Candidate] = {}
        tried: set[int] = set()
        fresh = [*wanted]
        while fresh:
            touched = dict.fromkeys((requirement.identifier for requirement in fresh), True)
            for requirement in fresh:
                own.setdefault(requirement.identifier, []).append(requirement)
            fresh = []
            if self._give_up():
                raise ResolutionTooLarge("the resolution took more time than it may")
            for name in touched:
                if name == PYTHON:
                    continue
                candidate = self._best(own[name], own.get(own[name][0].name, ()), taken)
                if candidate is None or id(candidate) in tried:
                    continue
                tried.add(id(candidate))
                taken[name] = candidate
                fresh += self.get_dependencies(candidate)

    def _best(
        self, own: Sequence[Requirement], base: Sequence[Requirement], taken: Mapping[str, Candidate]
    ) -> Candidate | None:
        """The candidate of a project with some extras, by the requirements of what is taken now."""

        def standing(requirement: Requirement) -> bool:
            parent = requirement.parent
            return parent is None or taken.get(parent.identifier) is parent

        wanted = [one for one in own if standing(one)]
        exact = next((one.exact for one in wanted if one.exact is not None), None)
        name, extras = own[0].name, own[0].extras
        if exact is not None:
            return self._with_extras(exact, extras)
        if extras:
            wanted += [one for one in base if standing(one) and one.exact is None]
        return next(iter(self._matching(name, extras, wanted)), None)

    # --- candidates -------------------------------------------------------------------------------

    def _with_extras(self, candidate: Candidate, extras: frozenset[str]) -> Candidate:
        if candidate.extras == extras:
            return candidate
        if candidate.file is None:
            return self._stand_in(candidate.name, extras, candidate.reason)
        return self.candidate(candidate.name, extras, candidate.file)

    def candidate(self, name: str, extras: frozenset[str], file: PageFile) -> Candidate:
        """The candidate of a file: one object for one file and one set of extras."""
        key = (identifier(name, extras), f"{file.file_id}/{file.filename}")
        candidate = self._candidates.get(key)
        if candidate is None:
            candidate = self._candidates[key] = Candidate(name, extras, file.version, file)
        return candidate

    def _stand_in(self, name: str, extras: frozenset[str], reason: str) -> Candidate:
        key = identifier(name, extras)
        return self.stand_ins.setdefault(key, Candidate(name, extras, None, None, reason))

    def chosen(self, name: str) -> Chosen | Absent | Unavailable | None:
        """The files of a project that the environment may install; None if its index is missing."""
        document = Document("index", name)
        page = self._known.documents.get(document)
        if page is None:
            self._need(document)
            return None
        if not isinstance(page, Page):
            return page  # type: ignore[no-any-return]  # Absent or Unavailable
        key = ("chosen", name, self._environment.name, self._before)
        chosen = self._known.memo.get(key)
        if chosen is None:
            chosen = self._known.memo[key] = choose(page, self._environment, self._before)
        assert isinstance(chosen, Chosen)
        return chosen

    def _matching(self, name: str, extras: frozenset[str], wanted: Sequence[Requirement]) -> list[Candidate]:
        chosen = self.chosen(name)
        if chosen is None:
            return [self._stand_in(name, extras, "")]
        if isinstance(chosen, Unavailable):
            return [self._stand_in(name, extras, chosen.reason)]
        if isinstance(chosen, Absent):
            return []
        texts = tuple(sorted({one.specifier_text for one in wanted}))
        key = ("matching", name, extras, texts)
        candidates: list[Candidate] | None = self._known.memo.get(key)
        if candidates is None or name in self._with_broken:
            files = self._filtered(name, chosen, texts, wanted)
            candidates = list(self._best_of_versions(name, extras, files))
            self._known.memo[key] = candidates
        return candidates

    def _filtered(
        self, name: str, chosen: Chosen, texts: tuple[str, ...], wanted: Sequence[Requirement]
    ) -> list[PageFile]:
        key = ("filtered", name, texts)
        files: list[PageFile] | None = self._known.memo.get(key)
        if files is None:
            specifier = SpecifierSet()
            for one in {each.specifier_text: each.specifier for each in wanted}.values():
                specifier &= one
            files = self._known.memo[key] = _filtered(chosen.files, specifier)
        return files

    def _best_of_versions(
        self, name: str, extras: frozenset[str], files: Iterable[PageFile]
    ) -> Iterator[Candidate]:
        """One candidate for each version. A wheel known to hold metadata that no installer accepts is
        passed over: the next file or version is tried."""
        versions = set()
        for file in files:
            broken = file.tags is not None and (name, file.filename) in self._broken
            if not broken and file.version not in versions:
                versions.add(file.version)
                yield self.candidate(name, extras, file)

    # --- dependencies ----------------------------------------------------------------------------

    def metadata(self, candidate: Candidate) -> Metadata | None:
        """A candidate's metadata; None while it is missing or cannot be had (`unknown_metadata` says why)."""
        assert candidate.file is not None
        document = document_of(candidate.name, candidate.file)
        found = self._known.documents.get(document)
        if found is None:
            self._need(document)
        elif isinstance(found, Metadata):
            return found
        else:
            self.unknown_metadata[candidate.file.filename] = (found.reason, isinstance(found, Unavailable))
        return None

    def _requirements_of(self, candidate: Candidate) -> Iterator[Requirement]:
        if candidate.extras:
            base = self._with_extras(candidate, frozenset())
            yield Requirement(candidate.name, frozenset(), candidate.name, candidate, base)
        if candidate.file is None:
            return
        metadata = self.metadata(candidate)
        if metadata is None:
            return
        if not candidate.extras and metadata.requires_python is not None:
            yield _python_requirement(metadata.requires_python, candidate)
        key = ("applying", candidate.identifier, candidate.file.file_id, candidate.file.filename)
        applying: list[Declared] | None = self._known.memo.get(key)
        if applying is None:
            extras = candidate.extras & metadata.extras
            if candidate.name in self._all_extras_of:
                extras = metadata.extras
            contexts = sorted(extras) if candidate.extras and extras else ["", *sorted(extras)]
            applying = [one for one in metadata.requirements if self.applies(one, contexts)]
            self._known.memo[key] = applying
        for one in applying:
            yield from self.requirements(one, candidate)

    def applies(self, declared: Declared, extras: Iterable[str] = ("",)) -> bool:
        """Whether a requirement's marker holds in the environment, with any of these extras."""
        marker = declared.marker
        if marker is None:
            return True
        return any(marker.evaluate({**self._environment.markers, "extra": extra}) for extra in extras)

    def requirements(self, declared: Declared, parent: Candidate | None) -> Iterator[Requirement]:
        """What one declared requirement asks of the solver: a specifier beside extras binds the base
        project, too."""
        if declared.url:
            self.urls.append((parent, declared))
            return
        if declared.extras and declared.specifier_text:
            yield Requirement(declared.name, frozenset(), declared.text, parent, declared=declared)
        yield Requirement(declared.name, declared.extras, declared.text, parent, declared=declared)

    def _need(self, document: Document) -> None:
        self.needs[document] = None
        if len(self.needs) >= _ENOUGH_NEEDS:
            raise EnoughNeeds


def _python_requirement(requires_python: SpecifierSet, candidate: Candidate) -> Requirement:
    requirement = Requirement(PYTHON, frozenset(), f"Python {requires_python}", candidate)
    requirement.specifier = requires_python
    requirement.specifier_text = str(requires_python)
    return requirement


class EnoughNeeds(Exception):
    """Ends a run that has found many missing documents."""


def document_of(name: str, file: PageFile) -> Document:
    """The document that holds a file's metadata."""
    return Document("metadata", name, file.file_id, file.filename, file.metadata and file.tags is not None)


def _filtered(files: Sequence[PageFile], specifier: SpecifierSet) -> list[PageFile]:
    """By version (pre-releases only where asked for, or where there is nothing else: PEP 440), then
    without yanked files unless an exact pin can be met by nothing else (PEP 592)."""
    allowed = list(specifier.filter(files, key=lambda file: file.version))
    pinned = any(
        one.operator == "===" or (one.operator == "==" and not one.version.endswith(".*"))
        for one in specifier
    )
    if pinned and all(file.yanked for file in allowed):
        return allowed
    return [file for file in allowed if not file.yanked]
