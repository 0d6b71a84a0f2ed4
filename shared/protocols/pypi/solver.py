"""The rules by which a set of files is found: pip's, as a provider for resolvelib's solver.

Compared with pip the interpreter is a fixed value, nothing is installed or built, and a document that
is not known yet is noted as a need and taken for one that constrains nothing, so that one run names
all that the next will want. Only a run without needs gives a result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider

from shared.errors import ResolutionTooLarge
from shared.protocols.pypi.candidates import Chosen, Page, PageFile, choose
from shared.protocols.pypi.environments import Environment
from shared.protocols.resolution import MAX_NODES, Absent, Document, Known, Unavailable

PYTHON = "<python>"
_PROMOTED_AFTER = 5  # conflicts in which a project was not yet pinned: then it comes first
_ENOUGH_NEEDS = 256  # of one run: further search without them is guessing


class Declared:
    """A requirement taken apart once, for the many times that it is looked at."""

    __slots__ = ("extras", "marker", "name", "operators", "specifier", "specifier_text", "text", "url")

    def __init__(self, requirement: Requirement) -> None:
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


class Wish:
    """A requirement together with what asks for it. Compared by identity: each is made once."""

    __slots__ = (
        "exact", "extras", "identifier", "name", "operators", "parent", "specifier", "specifier_text", "text",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        extras: frozenset[str],
        text: str,
        parent: Pick | None,
        exact: Pick | None = None,
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


class Pick:
    """A candidate: a file with a set of extras, or (`file` None) what stands in for unknown ones."""

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
    """How the solver calls a project with a set of extras."""
    return f"{name}[{','.join(sorted(extras))}]" if extras else name


class Provider(AbstractProvider[Wish, Pick, str]):
    """One run of the solver."""

    def __init__(
        self,
        *,
        known: Known,
        environment: Environment,
        before: float | None,
        all_extras_of: frozenset[str],
        give_up: Callable[[], bool],
    ) -> None:
        """`before`: unix seconds. `all_extras_of`: projects whose every extra is wanted. `give_up`:
        asked now and then."""
        self.order: dict[str, int] = {}  # of what was requested, by identifier
        self.needs: dict[Document, None] = {}
        self.stand_ins: dict[str, Pick] = {}  # by identifier
        self._known = known
        self._environment = environment
        self._before = before
        self._all_extras_of = all_extras_of
        self._give_up = give_up
        self._picks: dict[tuple[str, str], Pick] = known.memo.setdefault("picks", {})
        self._satisfied: dict[str, dict[int, bool]] = known.memo.setdefault("satisfied", {})
        self._broken = {
            (document.project, document.filename)
            for document, found in known.documents.items()
            if document.kind == "metadata" and isinstance(found, Absent)
        }
        self._with_broken = {name for name, _ in self._broken}
        self._wishes: dict[int, tuple[Pick, list[Wish]]] = {}
        self._introduced: dict[str, Pick] = {}  # who first wished for an identifier
        self._conflicts: Counter[str] = Counter()
        self._promoted: set[str] = set()
        self._python = Pick(PYTHON, frozenset(), environment.python, None)
        self.unknown_metadata: dict[str, tuple[str, bool]] = {}  # file name → why, whether passing
        self.urls: list[tuple[Pick | None, Declared]] = []

    @property
    def python(self) -> Version:
        """The environment's interpreter."""
        return self._environment.python

    def first_parent(self, pick: Pick) -> Pick | None:
        """The candidate that first wished for this one; None if the request did."""
        return None if pick.identifier in self.order else self._introduced.get(pick.identifier)

    # --- the solver's questions -----------------------------------------------------------------

    def identify(self, requirement_or_candidate: Wish | Pick) -> str:
        return requirement_or_candidate.identifier

    def is_satisfied_by(self, requirement: Wish, candidate: Pick) -> bool:
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
        resolutions: Mapping[str, Pick],
        candidates: Mapping[str, Iterator[Pick]],
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
        resolutions: Mapping[str, Pick],
        candidates: Mapping[str, Iterator[Pick]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> Any:
        """pip's order: fixed files, pinned, bounded above, as requested, constrained, by name."""
        if identifier == PYTHON:
            return (False,)
        wishes = [info.requirement for info in information[identifier]]
        fixed = any(wish.exact is not None for wish in wishes)
        return (
            identifier not in self._promoted,
            not fixed,
            not any(wish.operators[0] for wish in wishes),
            not any(wish.operators[1] for wish in wishes),
            self.order.get(identifier, math.inf),
            not any(wish.operators[2] for wish in wishes),
            identifier,
        )

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Wish]],
        incompatibilities: Mapping[str, Iterator[Pick]],
    ) -> Sequence[Pick]:
        """The candidates that satisfy all wishes for a project, the most preferred first."""
        if self._give_up():
            raise ResolutionTooLarge("the resolution took more time than it may")
        own = list(requirements[identifier])
        if identifier == PYTHON:
            fits = all(wish.specifier.contains(self._environment.python, prereleases=True) for wish in own)
            return [self._python] if fits else []
        name, extras = own[0].name, own[0].extras
        wishes = own + (list(requirements[name]) if extras and name in requirements else [])
        refused = {id(pick) for pick in incompatibilities[identifier]}
        exact = {id(wish.exact): wish.exact for wish in wishes if wish.exact is not None}
        if exact:
            picks = [self._with_extras(pick, extras) for pick in exact.values()]
            picks = [pick for pick in picks if all(self.is_satisfied_by(wish, pick) for wish in own)]
        else:
            picks = self._matching(name, extras, wishes)
        if not refused:
            return picks
        return [pick for pick in picks if id(pick) not in refused]

    def get_dependencies(self, candidate: Pick) -> list[Wish]:
        """What a candidate wishes for; with extras first its very own base."""
        made = self._wishes.get(id(candidate))
        if made is None:
            made = self._wishes[id(candidate)] = (candidate, list(self._wishes_of(candidate)))
            for wish in made[1]:
                self._introduced.setdefault(wish.identifier, candidate)
            if len(self._wishes) > MAX_NODES * 4:
                raise ResolutionTooLarge("too many candidates had to be tried")
        return made[1]

    # --- looking ahead ----------------------------------------------------------------------------

    def look_ahead(self, wishes: Sequence[Wish]) -> None:
        """Notes the needs of a graph in which every project takes the best candidate that its wishes
        admit. No search: much cheaper than a run of the solver, and mostly what that will look at.

        Raises `EnoughNeeds`, `ResolutionTooLarge`.
        """
        own: dict[str, list[Wish]] = {}
        taken: dict[str, Pick] = {}
        tried: set[int] = set()
        fresh = [*wishes]
        while fresh:
            touched = dict.fromkeys((wish.identifier for wish in fresh), True)
            for wish in fresh:
                own.setdefault(wish.identifier, []).append(wish)
            fresh = []
            if self._give_up():
                raise ResolutionTooLarge("the resolution took more time than it may")
            for name in touched:
                if name == PYTHON:
                    continue
                pick = self._best(own[name], own.get(own[name][0].name, ()), taken)
                if pick is None or id(pick) in tried:
                    continue
                tried.add(id(pick))
                taken[name] = pick
                fresh += self.get_dependencies(pick)

    def _best(self, own: Sequence[Wish], base: Sequence[Wish], taken: Mapping[str, Pick]) -> Pick | None:
        """Of a project with some extras, by the wishes of what is taken now."""

        def standing(wish: Wish) -> bool:
            return wish.parent is None or taken.get(wish.parent.identifier) is wish.parent

        wishes = [wish for wish in own if standing(wish)]
        exact = next((wish.exact for wish in wishes if wish.exact is not None), None)
        name, extras = own[0].name, own[0].extras
        if exact is not None:
            return self._with_extras(exact, extras)
        if extras:
            wishes += [wish for wish in base if standing(wish) and wish.exact is None]
        return next(iter(self._matching(name, extras, wishes)), None)

    # --- candidates -------------------------------------------------------------------------------

    def _with_extras(self, pick: Pick, extras: frozenset[str]) -> Pick:
        if pick.extras == extras:
            return pick
        if pick.file is None:
            return self._stand_in(pick.name, extras, pick.reason)
        return self.pick(pick.name, extras, pick.file)

    def pick(self, name: str, extras: frozenset[str], file: PageFile) -> Pick:
        """The candidate of a file: one object for one file and one set of extras."""
        key = (identifier(name, extras), f"{file.file_id}/{file.filename}")
        pick = self._picks.get(key)
        if pick is None:
            pick = self._picks[key] = Pick(name, extras, file.version, file)
        return pick

    def _stand_in(self, name: str, extras: frozenset[str], reason: str) -> Pick:
        key = identifier(name, extras)
        return self.stand_ins.setdefault(key, Pick(name, extras, None, None, reason))

    def chosen(self, name: str) -> Chosen | Absent | Unavailable | None:
        """What the environment may install of a project; None: noted as a need."""
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

    def _matching(self, name: str, extras: frozenset[str], wishes: Sequence[Wish]) -> list[Pick]:
        chosen = self.chosen(name)
        if chosen is None:
            return [self._stand_in(name, extras, "")]
        if isinstance(chosen, Unavailable):
            return [self._stand_in(name, extras, chosen.reason)]
        if isinstance(chosen, Absent):
            return []
        texts = tuple(sorted({wish.specifier_text for wish in wishes}))
        key = ("matching", name, extras, texts)
        picks: list[Pick] | None = self._known.memo.get(key)
        if picks is None or name in self._with_broken:
            picks = list(self._best_of_versions(name, extras, self._filtered(name, chosen, texts, wishes)))
            self._known.memo[key] = picks
        return picks

    def _filtered(
        self, name: str, chosen: Chosen, texts: tuple[str, ...], wishes: Sequence[Wish]
    ) -> list[PageFile]:
        key = ("filtered", name, texts)
        files: list[PageFile] | None = self._known.memo.get(key)
        if files is None:
            specifier = SpecifierSet()
            for one in {wish.specifier_text: wish.specifier for wish in wishes}.values():
                specifier &= one
            files = self._known.memo[key] = _filtered(chosen.files, specifier)
        return files

    def _best_of_versions(
        self, name: str, extras: frozenset[str], files: Iterable[PageFile]
    ) -> Iterator[Pick]:
        """One candidate for each version. A wheel known to hold metadata that no installer accepts is
        passed over: the next file or version is tried."""
        versions = set()
        for file in files:
            broken = file.tags is not None and (name, file.filename) in self._broken
            if not broken and file.version not in versions:
                versions.add(file.version)
                yield self.pick(name, extras, file)

    # --- dependencies ----------------------------------------------------------------------------

    def metadata(self, pick: Pick) -> Metadata | None:
        """A candidate's metadata; None while it is unknown (a need) or cannot be known (noted why)."""
        assert pick.file is not None
        document = document_of(pick.name, pick.file)
        found = self._known.documents.get(document)
        if found is None:
            self._need(document)
        elif isinstance(found, Metadata):
            return found
        else:
            self.unknown_metadata[pick.file.filename] = (found.reason, isinstance(found, Unavailable))
        return None

    def _wishes_of(self, pick: Pick) -> Iterator[Wish]:
        if pick.extras:
            yield Wish(pick.name, frozenset(), pick.name, pick, self._with_extras(pick, frozenset()))
        if pick.file is None:
            return
        metadata = self.metadata(pick)
        if metadata is None:
            return
        if not pick.extras and metadata.requires_python is not None:
            yield _python_wish(metadata.requires_python, pick)
        key = ("applying", pick.identifier, pick.file.file_id, pick.file.filename)
        applying: list[Declared] | None = self._known.memo.get(key)
        if applying is None:
            extras = pick.extras & metadata.extras
            if pick.name in self._all_extras_of:
                extras = metadata.extras
            contexts = sorted(extras) if pick.extras and extras else ["", *sorted(extras)]
            applying = [one for one in metadata.requirements if self.applies(one, contexts)]
            self._known.memo[key] = applying
        for one in applying:
            yield from self.wishes(one, pick)

    def applies(self, declared: Declared, extras: Iterable[str] = ("",)) -> bool:
        """Whether a requirement's marker holds in the environment, with any of these extras."""
        marker = declared.marker
        if marker is None:
            return True
        return any(marker.evaluate({**self._environment.markers, "extra": extra}) for extra in extras)

    def wishes(self, declared: Declared, parent: Pick | None) -> Iterator[Wish]:
        """The wishes of one requirement. A specifier beside extras is one of the base project's, too."""
        if declared.url:
            self.urls.append((parent, declared))
            return
        if declared.extras and declared.specifier_text:
            yield Wish(declared.name, frozenset(), declared.text, parent, declared=declared)
        yield Wish(declared.name, declared.extras, declared.text, parent, declared=declared)

    def _need(self, document: Document) -> None:
        self.needs[document] = None
        if len(self.needs) >= _ENOUGH_NEEDS:
            raise EnoughNeeds


def _python_wish(requires_python: SpecifierSet, pick: Pick) -> Wish:
    wish = Wish(PYTHON, frozenset(), f"Python {requires_python}", pick)
    wish.specifier = requires_python
    wish.specifier_text = str(requires_python)
    return wish


class EnoughNeeds(Exception):
    """Ends a run that has named plenty of documents."""


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
