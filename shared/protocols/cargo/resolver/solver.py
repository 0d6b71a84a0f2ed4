"""The search for a set of versions, in the order in which Cargo's resolver tries them.

Depth first: the dependency with the fewest candidates is fulfilled next, its best candidate is tried first,
and of what cannot stand together the latest choice that matters is taken back. Which set comes out follows
from that order alone; what is learned on the way only spares steps. Sources: The Cargo Book, "Dependency
Resolution"; the behaviour of `cargo generate-lockfile`, which tests compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from shared.errors import ResolutionTooLarge
from shared.protocols.cargo.resolver.conflicts import Explanations
from shared.protocols.cargo.resolver.features import MissingFeature
from shared.protocols.cargo.resolver.learned import Conflicts, Learned
from shared.protocols.cargo.resolver.registry import Candidates, Registry
from shared.protocols.cargo.resolver.state import Mark, State, Wanted
from shared.protocols.cargo.resolver.summaries import Dependency, Summary
from shared.protocols.resolution import MAX_NODES, MAX_ROUNDS

_ROUNDS_BETWEEN_LOOKS = 64  # at the clock


class _Options:
    """The candidates of one dependency that may still be tried; those that cannot stand are passed over."""

    __slots__ = ("_at", "_candidates", "_next")

    def __init__(self, candidates: Candidates, at: int = 0, following: Summary | None = None) -> None:
        self._candidates = candidates
        self._at = at
        self._next = following

    def copy(self) -> _Options:
        return _Options(self._candidates, self._at, self._next)

    def take(self, state: State, conflicts: Conflicts) -> tuple[Summary, bool] | None:
        """The next one, and whether another follows. What stands in the way of others is added."""
        while self._at < len(self._candidates):
            candidate = self._candidates[self._at]
            self._at += 1
            compatible = state.chosen.get(candidate.slot)
            if compatible is not None and compatible[0] is not candidate:
                conflicts.setdefault(compatible[0], "it is chosen; of compatible versions there is one")
                continue
            linking = state.links.get(candidate.links) if candidate.links else None
            if linking is not None and linking is not candidate:
                conflicts.setdefault(linking, f"it links {candidate.links} already")
                continue
            taken, self._next = self._next, candidate
            if taken is not None:
                return taken, True
        taken, self._next = self._next, None
        return None if taken is None else (taken, False)


class _Choice(NamedTuple):
    """A choice that can be taken back, as it was before it was made."""

    mark: Mark
    options: _Options
    parent: Summary
    wanted: Wanted
    conflicts: Conflicts


class Solver:
    """One search. Its `state` holds the answer when `solve` returns."""

    def __init__(self, registry: Registry, learned: Learned, give_up: Callable[[], bool]) -> None:
        self.state = State()
        self._registry = registry
        self._give_up = give_up
        self._learned = learned
        self._explanations = Explanations(self.state, registry)
        self._choices: list[_Choice] = []
        self._rounds = 0

    def solve(self, root: Summary) -> None:
        """Fulfil the root's dependencies, but those whose crates are not known.

        Raises `ResolutionConflict`, `FeatureCycle` and `ResolutionTooLarge`.
        """
        self._activate(root, None, None, frozenset())
        while (following := self.state.most_constrained()) is not None:
            self._fulfil(*following)

    def _fulfil(self, parent: Summary, wanted: Wanted) -> None:
        options = _Options(wanted.candidates)
        conflicts: Conflicts = {}
        known_bad: list[Dependency] = []
        went_back = False
        while True:
            self._count()
            taken = options.take(self.state, conflicts)
            if taken is None:
                self._explanations.note(parent, wanted, conflicts, known_bad)
                choice = self._go_back(parent, wanted.dependency, conflicts, went_back)
                if choice is None:
                    raise self._explanations.error(wanted.dependency)
                options, parent, wanted, conflicts = (
                    choice.options, choice.parent, choice.wanted, choice.conflicts,
                )  # fmt: skip
                went_back, known_bad = True, []
                taken = options.take(self.state, conflicts)
                assert taken is not None, "a choice is kept only if another candidate follows"
            candidate, another = taken
            mark = self.state.mark()
            choice = _Choice(mark, options.copy(), parent, wanted, dict(conflicts)) if another else None
            if self._try(candidate, parent, wanted, conflicts, known_bad):
                if choice is not None:
                    self._choices.append(choice)
                return
            self.state.restore(mark)

    def _try(
        self,
        candidate: Summary,
        parent: Summary,
        wanted: Wanted,
        conflicts: Conflicts,
        known_bad: list[Dependency],
    ) -> bool:
        """Choose a candidate; False, with the reason in `conflicts`, if it is known to lead nowhere."""
        features = wanted.features
        if wanted.dependency in self._registry.with_all_features:
            features |= frozenset(candidate.features)
        try:
            added = self._activate(candidate, parent, wanted.dependency, features)
        except MissingFeature as error:
            conflicts[parent] = f"it wants of {candidate.label} what that lacks: {error}"
            return False
        if added is None:
            return True
        chosen_at = self.state.chosen_at
        for each in added:
            found = self._learned.find(each.dependency, chosen_at)
            if found is not None:
                conflicts.update((one, why) for one, why in found.items() if one is not candidate)
                known_bad.append(each.dependency)
                return False
        related = self._learned.about(candidate)
        for other, dependency in self.state.waiting() if related else ():
            if dependency not in related:
                continue
            found = self._learned.find(dependency, chosen_at, including=candidate)
            if found is not None:
                # What cannot be: the candidate beside the version that wants this dependency.
                conflicts.update((one, why) for one, why in found.items() if one is not candidate)
                wanted_there = f"{dependency.crate} {dependency.requirement.text}"
                conflicts[other] = f"it needs {wanted_there}, which cannot be had beside {candidate.label}"
                known_bad.append(dependency)
                return False
        return True

    def _activate(
        self,
        summary: Summary,
        parent: Summary | None,
        dependency: Dependency | None,
        features: frozenset[str],
    ) -> tuple[Wanted, ...] | None:
        """Choose a version with these features; what it needs, None if it has been chosen with them before.

        Raises `MissingFeature`.
        """
        default_features = dependency is not None and dependency.default_features
        chosen_before = self.state.choose(summary, parent, dependency)
        if len(self.state.chosen) > MAX_NODES:
            raise ResolutionTooLarge(f"the graph has more than {MAX_NODES} nodes")
        if chosen_before and self.state.has_features(summary, features, default_features):
            return None
        activation = self._registry.activation(summary, features, default_features)
        self.state.enable(summary, activation.features)
        found = [
            Wanted(each, candidates, extra)
            for each, extra in activation.dependencies
            if (candidates := self._registry.candidates(each)) is not None
        ]
        found.sort(key=lambda each: len(each.candidates))
        wanted = tuple(found)
        self.state.want(summary, wanted)
        return wanted

    # --- going back -----------------------------------------------------------------------------------

    def _go_back(
        self, parent: Summary, dependency: Dependency, conflicts: Conflicts, went_back: bool
    ) -> _Choice | None:
        """The latest choice whose taking back may help, with the state as it was then; None if none does."""
        age: int | None = None
        if not went_back:  # else the conflicts are of an earlier moment, and not all of them
            self._learned.add(dependency, conflicts)
            general = self._generalise(parent, dependency, conflicts)
            ages = [self.state.chosen_at(one) for one in (parent, *(general or conflicts))]
            age = max(ages) if None not in ages else None  # type: ignore[type-var]
        while self._choices:
            choice = self._choices.pop()
            if age is None or choice.mark.age < age:
                self.state.restore(choice.mark)
                return choice
        return None

    def _generalise(self, parent: Summary, dependency: Dependency, conflicts: Conflicts) -> Conflicts | None:
        """Whether whatever else could stand in place of the latest conflict is known to conflict as well:
        then what wanted it is the conflict, which goes back further."""
        if not conflicts:
            return None
        ages = {one: self.state.chosen_at(one) for one in conflicts}
        if None in ages.values():
            return None
        latest = max(ages, key=lambda one: ages[one] or 0)
        latest_age = ages[latest] or 0
        if self.state.leads_to(parent, latest):
            return None  # it sees for itself
        for above, dependencies in self.state.parents.get(latest, {}).items():
            above_at = self.state.chosen_at(above)
            if above_at is None or above_at >= latest_age:
                continue
            for wanted in dependencies:
                others = self._all_conflict(dependency, wanted, latest_age)
                if others is None:
                    continue
                general = dict(conflicts)
                for _, found in others:
                    general.update(found)
                for other, _ in others:
                    general.pop(other, None)
                general[above] = f"whatever it takes for {wanted.crate} stands in the way"
                self._learned.add(dependency, general)
                return general
        return None

    def _all_conflict(
        self, dependency: Dependency, wanted: Dependency, age: int
    ) -> list[tuple[Summary, Conflicts]] | None:
        """For each candidate of `wanted` a set beside which `dependency` cannot be fulfilled; None if one
        has none."""
        found = []
        for other in reversed(self._registry.candidates(wanted) or ()):

            def chosen_at(one: Summary, other: Summary = other) -> int | None:
                return age if one is other else self.state.chosen_at(one)

            conflicts = self._learned.find(dependency, chosen_at, including=other, before=age)
            if conflicts is None:
                return None
            found.append((other, conflicts))
        return found

    def _count(self) -> None:
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise ResolutionTooLarge(f"no answer was found in {MAX_ROUNDS} rounds")
        if self._rounds % _ROUNDS_BETWEEN_LOOKS == 0 and self._give_up():
            raise ResolutionTooLarge("no answer was found in the time there is")
