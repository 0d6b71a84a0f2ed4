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


class Metadata(msgspec.Struct, frozen=True):
    """What a file's core metadata says, as far as the solver asks."""

    requires_python: SpecifierSet | None
    requirements: tuple[Requirement, ...]
    extras: frozenset[str]  # normalised


class Wish:
    """A requirement together with what asks for it. Compared by identity: each is made once."""

    __slots__ = ("exact", "extras", "identifier", "name", "parent", "specifier", "text")

    def __init__(
        self,
        name: str,
        extras: frozenset[str],
        specifier: SpecifierSet,
        text: str,
        parent: Pick | None,
        exact: Pick | None = None,
    ) -> None:
        self.name = name
        self.extras = extras
        self.specifier = specifier
        self.text = text  # as declared
        self.parent = parent
        self.exact = exact  # nothing but this candidate will do
        self.identifier = identifier(name, extras)


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
        self._picks: dict[tuple[str, str], Pick] = {}
        self._wishes: dict[int, tuple[Pick, list[Wish]]] = {}
        self._introduced: dict[str, Pick] = {}  # who first wished for an identifier
        self._conflicts: Counter[str] = Counter()
        self._promoted: set[str] = set()
        self._python = Pick(PYTHON, frozenset(), environment.python, None)
        self.unknown_metadata: dict[str, tuple[str, bool]] = {}  # file name → why, whether passing
        self.urls: list[tuple[Pick | None, Requirement]] = []

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
        if candidate.version is None:
            return True
        return requirement.specifier.contains(candidate.version, prereleases=True)

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
        operators = [(one.operator, one.version) for wish in wishes for one in wish.specifier]
        pinned = any(op in ("==", "===") and "*" not in version for op, version in operators)
        bounded = any(op in ("<", "<=", "~=") or (op == "==" and "*" in version) for op, version in operators)
        fixed = any(wish.exact is not None for wish in wishes)
        return (
            identifier not in self._promoted,
            not fixed,
            not pinned,
            not bounded,
            self.order.get(identifier, math.inf),
            not operators,
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
        specifier = SpecifierSet()
        for wish in wishes:
            specifier &= wish.specifier
        refused = {id(pick) for pick in incompatibilities[identifier]}
        exact = {id(wish.exact): wish.exact for wish in wishes if wish.exact is not None}
        if exact:
            picks = [self._with_extras(pick, extras) for pick in exact.values()]
            picks = [pick for pick in picks if all(self.is_satisfied_by(wish, pick) for wish in own)]
        else:
            picks = self._matching(name, extras, specifier)
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

    def _matching(self, name: str, extras: frozenset[str], specifier: SpecifierSet) -> list[Pick]:
        chosen = self.chosen(name)
        if chosen is None:
            return [self._stand_in(name, extras, "")]
        if isinstance(chosen, Unavailable):
            return [self._stand_in(name, extras, chosen.reason)]
        if isinstance(chosen, Absent):
            return []
        key = ("matching", name, self._environment.name, self._before, str(specifier))
        files: list[PageFile] | None = self._known.memo.get(key)
        if files is None:
            files = self._known.memo[key] = _filtered(chosen.files, specifier)
        picks, versions = [], set()
        for file in files:
            if file.version not in versions and not self._is_broken(name, file):
                versions.add(file.version)
                picks.append(self.pick(name, extras, file))
        return picks

    def _is_broken(self, name: str, file: PageFile) -> bool:
        """Known to hold metadata that no installer accepts: the next file or version is tried."""
        found = self._known.documents.get(document_of(name, file))
        return isinstance(found, Absent) and file.tags is not None

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
            base = self._with_extras(pick, frozenset())
            yield Wish(pick.name, frozenset(), SpecifierSet(), pick.name, pick, base)
        if pick.file is None:
            return
        metadata = self.metadata(pick)
        if metadata is None:
            return
        if not pick.extras and metadata.requires_python is not None:
            text = f"Python {metadata.requires_python}"
            yield Wish(PYTHON, frozenset(), metadata.requires_python, text, pick)
        extras = pick.extras & metadata.extras
        if pick.name in self._all_extras_of:
            extras = metadata.extras
        for requirement in metadata.requirements:
            if self._applies(requirement, extras, bool(pick.extras)):
                yield from self.wishes(requirement, pick)

    def _applies(self, requirement: Requirement, extras: frozenset[str], with_extras: bool) -> bool:
        marker = requirement.marker
        if marker is None:
            return True
        contexts = sorted(extras) if with_extras and extras else ["", *sorted(extras)]
        return any(marker.evaluate({**self._environment.markers, "extra": extra}) for extra in contexts)

    def wishes(self, requirement: Requirement, parent: Pick | None) -> Iterator[Wish]:
        """The wishes of one requirement. A specifier beside extras is one of the base project's, too."""
        if requirement.url:
            self.urls.append((parent, requirement))
            return
        name = canonicalize_name(requirement.name)
        extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
        text = str(requirement)
        if extras and requirement.specifier:
            yield Wish(name, frozenset(), requirement.specifier, text, parent)
        yield Wish(name, extras, requirement.specifier, text, parent)

    def _need(self, document: Document) -> None:
        self.needs[document] = None
        if len(self.needs) >= _ENOUGH_NEEDS:
            raise EnoughNeeds


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
