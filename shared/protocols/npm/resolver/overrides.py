"""`overrides` of a project: which of its rules a dependency is under (npm documentation, "package.json").

A rule is for a name, or for a name at a range; it replaces what is asked for, and may hold rules for what
lies below. A package is under the rule of the dependency that led to it. Of rules for one name the first that
fits counts, the inner ones before the outer. All rules are made once: equal ones are the same object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.protocols.npm import names
from shared.protocols.npm.resolver.specs import Spec, read_spec
from shared.protocols.npm.semver_intersects import intersects

MAX_RULES = 1000
MAX_DEPTH = 20
_RESOLVABLE = ("range", "version", "tag")
_COMPARABLE = ("range", "version")
_SHOWN = 80


class OverrideFault(Exception):
    """`path`: the keys that lead to what is wrong."""

    def __init__(self, path: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


class OverrideSet:
    """One rule with those inside it; the outermost has neither name nor value."""

    __slots__ = (
        "_rules",
        "children",
        "key",
        "key_spec",
        "name",
        "parent",
        "path",
        "reference",
        "spec",
        "text",
    )  # fmt: skip

    def __init__(self, parent: OverrideSet | None, name: str, key: str, key_spec: Spec | None) -> None:
        self.parent = parent
        self.name = name
        self.key = key  # as written
        self.key_spec = key_spec  # what it is for; None of the outermost
        self.text = "*"  # what it puts in the place of what is asked for; "*": nothing else
        self.spec: Spec | None = None  # the same read; None for "*"
        self.reference = ""  # the direct dependency that says it
        self.children: dict[str, OverrideSet] = {}
        self.path: tuple[str, ...] = () if parent is None else (*parent.path, key)
        self._rules: dict[str, list[OverrideSet]] | None = None

    def ancestry(self) -> Iterator[OverrideSet]:
        """This rule and those around it."""
        found: OverrideSet | None = self
        while found is not None:
            yield found
            found = found.parent

    def rule_of(self, name: str, declared: Spec) -> OverrideSet:
        """The rule for a dependency of a package that is under this one; this one where none is."""
        for rule in self._by_name().get(name, ()):
            assert rule.key_spec is not None
            if (
                rule.key_spec.wanted == "*"
                or declared.kind not in _COMPARABLE
                or intersects(declared.wanted, rule.key_spec.wanted)
            ):
                return rule
        return self

    def _by_name(self) -> dict[str, list[OverrideSet]]:
        if self._rules is None:
            self._rules = {}
            taken: set[str] = set()
            for each in self.ancestry():
                inner = list(each.children.values())
                for rule in inner if each.parent is None else [*inner, each]:
                    if rule.key not in taken:
                        taken.add(rule.key)
                        self._rules.setdefault(rule.name, []).append(rule)
        return self._rules

    def by_key(self, name: str, key: str) -> OverrideSet | None:
        """The rule that counts here of those with this key."""
        return next((each for each in self._by_name().get(name, ()) if each.key == key), None)


def more_specific(one: OverrideSet, other: OverrideSet) -> OverrideSet | None:
    """Under which of two rules a package is that both lead to: the inner one; of strangers what is around
    both, or None if they contradict one another."""
    if any(each is one for each in other.ancestry()):
        return other
    around = list(one.ancestry())
    if any(each is other for each in around):
        return one
    if _contradict(one, other):
        return None
    return next(each for each in other.ancestry() if any(each is known for known in around))


def in_conflict(one: OverrideSet, other: OverrideSet) -> bool:
    """Whether a package cannot be under both."""
    return one is not other and more_specific(one, other) is None


def _contradict(one: OverrideSet, other: OverrideSet) -> bool:
    """Whether some rule of both has one key and ranges without a version in common. What is around both is
    the same for both, hence not looked at."""
    ours, theirs = list(one.ancestry()), list(other.ancestry())
    apart = [each for each in ours if each not in theirs] + [each for each in theirs if each not in ours]
    return any(
        _differ(one.by_key(rule.name, rule.key), other.by_key(rule.name, rule.key))
        for each in apart
        for rule in (*each.children.values(), each)
    )


def _differ(one: OverrideSet | None, other: OverrideSet | None) -> bool:
    if one is None or other is None or one is other or "$" in (one.text[:1], other.text[:1]):
        return False
    mine, theirs = one.spec or _ANYTHING, other.spec or _ANYTHING
    return _plain(mine) and _plain(theirs) and not intersects(mine.wanted, theirs.wanted)


def _plain(spec: Spec) -> bool:
    return spec.kind in _COMPARABLE and not spec.text.lower().startswith("npm:")


_ANYTHING = Spec("range", "", "*", "*")


# --- reading ----------------------------------------------------------------------------------------


def read_overrides(tree: Mapping[str, Any], roots: Mapping[str, str]) -> OverrideSet:
    """The rules of a project with these dependencies. Raises `OverrideFault`."""
    outermost = OverrideSet(None, "", "", None)
    waiting: list[tuple[OverrideSet, Mapping[str, Any]]] = [(outermost, tree)]
    count = 0
    for parent, table in waiting:
        for key, value in table.items():
            if key == ".":
                if parent.parent is None:
                    raise OverrideFault((".",), "'.' stands inside the table of a package")
                continue
            rule = _rule(parent, key)
            count += 1
            if count > MAX_RULES:
                raise OverrideFault(rule.path, f"at most {MAX_RULES} rules")
            inner = value if isinstance(value, Mapping) else {".": value}
            _replaces(rule, inner.get("."), roots)
            parent.children[key] = rule
            if len(rule.path) > MAX_DEPTH:
                raise OverrideFault(rule.path, f"more than {MAX_DEPTH} tables inside one another")
            waiting.append((rule, inner))
    for name, text in roots.items():
        found = outermost.rule_of(name, read_spec(name, text))
        if found.name == name and found.spec is not None and found.spec.text != text:
            raise OverrideFault(
                found.path,
                f"it conflicts with the direct dependency {name}@{_shown(text)} (npm's EOVERRIDE): the two"
                f" must be equal; '${name}' says so",
            )
    return outermost


def _rule(parent: OverrideSet, key: str) -> OverrideSet:
    name, _, wanted = key[1:].partition("@")
    name = key[:1] + name
    path = (*parent.path, key)
    if not names.is_name(name):
        raise OverrideFault(path, "no package has this name")
    spec = read_spec(name, wanted)
    if spec.kind not in _COMPARABLE or wanted.lower().startswith("npm:"):
        raise OverrideFault(path, f"after the name stands a range, not {_shown(wanted)!r}")
    return OverrideSet(parent, name, key, spec)


def _replaces(rule: OverrideSet, value: object, roots: Mapping[str, str]) -> None:
    """Set what a rule asks for: without a "." it is what the rule is for (npm does so too)."""
    assert rule.key_spec is not None
    if value is None:
        text = rule.key_spec.wanted
    elif isinstance(value, str):
        text = " ".join(value.split()) or "*"
    else:
        raise OverrideFault(rule.path, "expected a range, or a table of such")
    rule.text = text
    if text == "*":
        return
    if text.startswith("$"):
        if text[1:] not in roots:
            raise OverrideFault(rule.path, f"{_shown(text)!r} names no direct dependency")
        rule.reference = text[1:]
        text = roots[rule.reference]
    spec = read_spec(rule.name, text)
    if spec.kind == "address":
        raise OverrideFault(rule.path, f"{_shown(text)!r} is an address; only names are resolved")
    if spec.kind not in _RESOLVABLE:
        raise OverrideFault(rule.path, f"{_shown(text)!r} is no range, version, tag or alias")
    rule.spec = spec


def canonical(rules: OverrideSet) -> dict[str, Any]:
    """The rules in one spelling. Those of one name keep their order, since the first that fits counts."""
    found: dict[str, Any] = {}
    waiting = [(rules, found)]
    for rule, table in waiting:
        for each in sorted(rule.children.values(), key=lambda child: child.name):
            assert each.key_spec is not None
            if not each.children:
                table[each.key] = each.text
                continue
            inner = table[each.key] = {} if each.text == each.key_spec.wanted else {".": each.text}
            waiting.append((each, inner))
    return found


def _shown(text: str) -> str:
    return ascii(text[:_SHOWN])[1:-1]
