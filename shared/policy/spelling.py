"""What the names of a rule stand for: in each protocol that it is about by that one's own rules, in no other
one's spelling. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol
from urllib.parse import unquote

import msgspec

from shared.policy.named import FORMAT, NamedRule

ALL_POPULAR = "*"
_CLASS = re.compile(r"\[!?\]?[^]]*\]")  # of a pattern: one character of these
_FILLS = ("a", "", "@a")  # what stands for "*" in a name that a pattern could match
_VERSION = re.compile(r"(?<=[^/])@|[=<>~^ ]")  # before a version, as clients and package URLs write one


class Naming(Protocol):
    """How a protocol spells names; each as `Names` has it."""

    signs_files: ClassVar[bool]
    purl_type: ClassVar[str]

    def canonical_name(self, name: str, /) -> str: ...
    def is_project_name(self, text: str, /) -> bool: ...
    def meant_patterns(self, pattern: str, /) -> tuple[str, ...]: ...
    def project_of_purl(self, namespace: str, name: str, /) -> str: ...


def in_force(
    rule: NamedRule, naming: Mapping[str, Naming], popular: Mapping[str, Iterable[str]]
) -> NamedRule:
    """A checked rule with what its names stand for. `naming`: of all protocols; `popular`: by protocol, what
    `typo_of = ["*"]` stands for."""
    own = {each: naming[each] for each in rule.protocols or naming}
    written = tuple(dict.fromkeys(name.strip() for name in rule.names))
    meant = {
        each: tuple(dict.fromkeys(one for name in written for one in names.meant_patterns(name)))
        for each, names in own.items()
    }
    return msgspec.structs.replace(
        rule,
        format=FORMAT,
        written=written,
        names=tuple(dict.fromkeys(one for some in meant.values() for one in some)),
        meant=meant if written and len(own) > 1 else {},
        popular={each: _likened(rule, names, popular.get(each, ())) for each, names in own.items()}
        if rule.typo_of
        else {},
    )


def _likened(rule: NamedRule, naming: Naming, popular: Iterable[str]) -> tuple[str, ...]:
    told = {name.strip() for name in rule.typo_of}
    found = {naming.canonical_name(name) for name in told if naming.is_project_name(name)}
    return tuple(sorted(found.union(popular) if ALL_POPULAR in told else found))


def check_names(rule: NamedRule, naming: Mapping[str, Naming]) -> None:
    """Raises `ValueError` for a name that can be none of these protocols', with what was meant."""
    for name in rule.names:
        if not any(_is_possible(name.strip(), each) for each in naming.values()):
            raise ValueError(f"names: {_impossible(name.strip(), naming)}")
    for name in rule.typo_of:
        text = name.strip()
        if text != ALL_POPULAR and not any(each.is_project_name(text) for each in naming.values()):
            raise ValueError(f"typo_of: {_impossible(text, naming)}")


def _is_possible(pattern: str, naming: Naming) -> bool:
    """Whether a project could have a name that the pattern matches."""
    texts = [_CLASS.sub("a", each).replace("?", "a") for each in naming.meant_patterns(pattern)]
    return any(naming.is_project_name(each.replace("*", fill)) for each in texts for fill in _FILLS)


def _impossible(text: str, naming: Mapping[str, Naming]) -> str:
    told = f"{text[:80]!r} can be the name of no {' or '.join(naming)} package"
    if text.startswith("pkg:"):
        return f"{told}: it is a package URL{_of_purl(text, naming)}"
    if "://" in text:
        return f"{told}: it is an address; write the package's name"
    for name in (_VERSION.split(text)[0], text.rpartition(":")[0]):
        if name != text and any(each.is_project_name(name) for each in naming.values()):
            more = "one version is blocked by `orchard blocks add`, or told by `when`"
            return f"{told}: a name means all its versions, write {name[:80]!r} ({more})"
    return told


def _of_purl(text: str, naming: Mapping[str, Naming]) -> str:
    kind, _, rest = text.removeprefix("pkg:").partition("/")
    namespace, _, name = unquote(_VERSION.split(re.split("[?#]", rest)[0])[0]).rpartition("/")
    for protocol, names in naming.items():
        if names.purl_type == kind and names.is_project_name(names.project_of_purl(namespace, name)):
            return f"; write {names.project_of_purl(namespace, name)[:80]!r} in a rule about {protocol}"
    return "; write the name as its client does"
