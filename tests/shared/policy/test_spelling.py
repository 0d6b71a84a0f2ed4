"""The names of a policy rule: read by the name rules of the protocols that it is about, and of no other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping

import msgspec
import pytest

from shared.errors import InvalidParameter
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.reading import put_in_force, read_policy, refuses_all
from shared.protocols import PROTOCOLS, named_alike
from shared.protocols.base import PackageProxyBase
from shared.setting_values import date

NAMING = {each.name: each.names for each in PROTOCOLS}
SOURCES = {each.name: frozenset({f"{each.name}-central", "mirror"}) for each in PROTOCOLS}
POPULAR: Mapping[str, frozenset[str]] = {each.name: each.names.popular for each in PROTOCOLS}
every = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)


def read(text: str) -> NamedRule:
    (found,) = read_policy(f"[[rule]]\nname = 'r'\n{text}\n", NAMING, POPULAR, SOURCES)
    return found


def named(*names: str, protocols: tuple[str, ...] = (), more: str = "refuse = true") -> NamedRule:
    return read(f"names = {json.dumps(names)}\nprotocols = {json.dumps(protocols)}\n{more}")


def about(rule: NamedRule, protocol: str, name: str) -> bool:
    return rule.is_about(protocol, named_alike(protocol, name))


# What is written, and of each protocol canonical names that it means there, and that it does not.
TABLE: dict[str, dict[str, tuple[set[str], set[str]]]] = {
    "JSONStream": {
        "pypi": ({"jsonstream"}, set()),
        "npm": ({"JSONStream"}, {"jsonstream"}),
        "maven": ({"JSONStream:core"}, {"jsonstream:core"}),
        "cargo": ({"jsonstream"}, set()),
    },
    "lodash-id": {
        "pypi": ({"lodash-id"}, set()),
        "npm": ({"lodash-id"}, {"lodash_id", "lodash.id"}),
        "maven": ({"lodash-id:x"}, {"lodash_id:x"}),
        "cargo": ({"lodash-id", "lodash_id"}, {"lodashid"}),
    },
    "Acme_*": {
        "pypi": ({"acme-tools"}, {"acme"}),
        "npm": ({"Acme_tools"}, {"acme_tools", "acme-tools", "Acme-tools"}),
        "maven": ({"Acme_x:y"}, {"acme_x:y", "Acme-x:y"}),
        "cargo": ({"acme_tools", "acme-tools"}, {"acmetools"}),
    },
    "a.b": {
        "pypi": ({"a-b"}, {"a"}),
        "npm": ({"a.b"}, {"a-b", "a_b"}),
        "maven": ({"a.b:c"}, {"a-b:c", "a.b.c:d"}),
        "cargo": (set(), {"a-b", "a_b"}),
    },
    "@corp": {
        "pypi": (set(), {"corp"}),
        "npm": ({"@corp/ui"}, {"@corporate/ui", "corp"}),
        "maven": (set(), {"corp:ui"}),
        "cargo": (set(), {"corp"}),
    },
}
rows = pytest.mark.parametrize(
    ("written", "protocol"), list(itertools.product(TABLE, NAMING)), ids=lambda value: str(value)
)


@rows
@pytest.mark.parametrize("alone", [True, False], ids=["of one protocol", "of all"])
def test_name__means_what_its_protocol_takes_for_it(written: str, protocol: str, alone: bool) -> None:
    meant, others = TABLE[written][protocol]
    if alone and not meant:  # no name of it can be so
        with pytest.raises(InvalidParameter):
            named(written, protocols=(protocol,))
        return
    rule = named(written, protocols=(protocol,) if alone else ())
    assert {each: about(rule, protocol, each) for each in meant | others} == {
        each: each in meant for each in meant | others
    }


@every
def test_rule_of_some_protocols__says_nothing_of_another(protocol: PackageProxyBase) -> None:
    rest = tuple(each for each in NAMING if each != protocol.name)
    for written in TABLE.keys() - {"@corp"}:
        rule = named(written, protocols=rest)
        names = {each for row in TABLE.values() for some in row[protocol.name] for each in some}
        assert [each for each in names if about(rule, protocol.name, each)] == []


@rows
def test_allow_list__lets_in_what_it_names_and_no_other_spelling(written: str, protocol: str) -> None:
    meant, others = TABLE[written][protocol]
    policy = Policy((), named_rules=[named(written, more="only = true")], named=named_alike)
    assert {each for each in meant | others if policy.of(protocol, each).listed is None} == meant


@every
def test_typos__compared_with_the_names_of_the_own_protocol(protocol: PackageProxyBase) -> None:
    rule = read("typo_of = ['Lodash_ID', 'JSONStream']")
    expected = {
        "pypi": {"lodash-id", "jsonstream"},
        "npm": {"Lodash_ID", "JSONStream"},
        "maven": set(),
        "cargo": {"lodash_id", "jsonstream"},
    }
    assert set(rule.likened(protocol.name)) == expected[protocol.name]


def test_what_was_written__is_shown() -> None:
    written = ("Acme_*", "@corp", "com.corp")
    for protocols in ((), ("npm", "maven"), ("npm", "pypi", "maven")):
        shown = named("Acme_*", " @corp ", "com.corp", protocols=protocols).as_written()
        assert (shown.names, shown.meant, shown.written) == (written, {}, ())
    assert read("typo_of = ['*', 'Lodash']").as_written().typo_of == ("*", "Lodash")


# As the version before this one stored them: names with the spellings of all protocols.
STORED = {
    "names": {
        "name": "r",
        "protocols": ["npm"],
        "names": ["lodash-id", "lodash-id:*", "lodash[_-]id"],
        "refuse": True,
        "since": 1.0,
    },
    "typos": {
        "name": "r",
        "typo_of": ["*", "*:*", "mine_x", "mine-x", "mine_x:*", "mine[_-]x"],
        "popular": {"npm": ["lodash"]},
        "since": 1.0,
    },
}


def stored(which: str) -> NamedRule:
    return msgspec.convert(STORED[which], NamedRule)


def test_rule_that_was_stored_before__means_the_same() -> None:
    names, typos = stored("names"), stored("typos")
    assert [about(names, "npm", each) for each in ("lodash-id", "lodash_id", "lodashid")] == [
        True,
        True,
        False,
    ]
    assert not about(names, "pypi", "lodash-id")
    assert set(typos.likened("npm")) == {"lodash", *typos.typo_of}
    assert names.as_written() == names


def test_rule_that_was_stored_before__began_when_it_did_if_its_file_is_applied_again() -> None:
    same = named("lodash-id", protocols=("npm",))
    other = named("lodash-id", "left-pad", protocols=("npm",))
    warns = named("lodash-id", protocols=("npm",), more="refuse = true\naction = 'warn'")
    assert [each.since for each in put_in_force([same], [stored("names")], 9.0)] == [1.0]
    assert [each.since for each in put_in_force([other], [stored("names")], 9.0)] == [9.0]
    assert [each.since for each in put_in_force([warns], [stored("names")], 9.0)] == [9.0]
    typos = read("typo_of = ['*', 'Mine_X']")
    assert [each.since for each in put_in_force([typos], [stored("typos")], 9.0)] == [1.0]
    typos = read("typo_of = ['Mine_Y']")
    assert [each.since for each in put_in_force([typos], [stored("typos")], 9.0)] == [9.0]


def test_rule_with_other_words__began_when_it_did() -> None:
    (first,) = put_in_force([named("a")], [], 1.0)
    again = msgspec.structs.replace(named("a"), reason="in other words")
    assert [each.since for each in put_in_force([again], [first], 9.0)] == [1.0]


@every
def test_version_before__knows_the_patterns_of_the_rules_protocols(protocol: PackageProxyBase) -> None:
    """It reads `names` alone: no more than all of theirs."""
    assert named("a.b", "lodash-id", protocols=("npm",)).names == ("a.b", "lodash-id")
    for written, row in TABLE.items():
        rule = msgspec.structs.replace(named(written), meant={}, written=(), format=0)
        assert all(about(rule, protocol.name, each) for each in row[protocol.name][0])


def test_stamp__is_the_one_that_the_version_before_makes() -> None:
    rule = named("demo", more="when = 'yanked'")
    before = msgspec.structs.replace(rule, meant={}, written=(), format=0)
    stamps = {Policy((), named_rules=[each]).of("npm", "demo").content_stamp for each in (rule, before)}
    assert len(stamps) == 1 and "" not in stamps


IMPOSSIBLE = {
    "pkg:npm/left-pad@1.3.0": "write 'left-pad' in a rule about npm",
    "pkg:npm/%40corp/lib@1.0.0": "write '@corp/lib' in a rule about npm",
    "pkg:maven/org.x/lib": "write 'org.x:lib' in a rule about maven",
    "pkg:deb/debian/curl": "it is a package URL; write the name",
    "left-pad@1.3.0": "write 'left-pad' (one version",
    "@corp/lib@1.0.0": "write '@corp/lib' (one version",
    "requests==2.0": "write 'requests' (one version",
    "org.x:lib:1.0": "write 'org.x:lib' (one version",
    "https://example.com/left-pad": "it is an address",
    "lodash@4.*": "write 'lodash' (one version",
    "two words": "write 'two'",
    "": "can be the name of no",
}


@pytest.mark.parametrize("text", IMPOSSIBLE)
@pytest.mark.parametrize("field", ["names", "typo_of"])
def test_what_can_be_no_name__is_refused_with_what_was_meant(text: str, field: str) -> None:
    asks = "refuse = true" if field == "names" else ""
    with pytest.raises(InvalidParameter) as caught:
        read(f"{field} = {json.dumps([text])}\n{asks}")
    assert f"policy: rule 'r': {field}: " in caught.value.message and IMPOSSIBLE[text] in caught.value.message


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        ("pypi", "@corp/lib"),
        ("cargo", "org.x:lib"),
        ("maven", "@corp"),
        ("npm", "org.x:lib"),
        ("pypi", "a:b"),
    ],
)
def test_name_of_another_protocol__is_refused(protocol: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=f"can be the name of no {protocol} package"):
        named(text, protocols=(protocol,))
    named(text)


@pytest.mark.parametrize(
    "pattern",
    ["*", "**", "lib*", "*lib", "*/lib", "@corp/*", "@*", "@corp-*/", "com.corp", "com.corp.*", "*:lib",
     "org.x:*-core", "[a-z]*", "[!_]x", "corp-??", "my_crate", "~'!()"],
)  # fmt: skip
def test_pattern_that_some_name_has__is_taken(pattern: str) -> None:
    assert named(pattern).as_written().names == (pattern,)


@every
def test_sources__unknown_ones_are_refused_with_those_there_are(protocol: PackageProxyBase) -> None:
    named(more=f"refuse = true\nsources = ['{protocol.name}-central', 'mirror']")
    other = next(each.name for each in PROTOCOLS if each is not protocol)
    own = (protocol.name,)
    for protocols, name in (((), "nobody"), (own, "nobody"), (own, f"{other}-central")):
        with pytest.raises(
            InvalidParameter, match=f"sources: '{name}' is none of the upstreams of "
        ) as caught:
            named(protocols=protocols, more=f"refuse = true\nsources = ['{name}']")
        known = caught.value.message.rpartition(": ")[2].split(", ")
        assert known == sorted(set().union(*(SOURCES[each] for each in protocols or NAMING)))


def test_refuses_all__counts_protocols_and_sources() -> None:
    every_source = sorted(set().union(*SOURCES.values()))
    wide = [
        named(),
        named("*"),
        named("?*"),
        named(protocols=tuple(NAMING)),
        *(named(protocols=(each,)) for each in NAMING),
        named(protocols=("pypi",), more="nothing_after = '2001-01-01'"),
        named(protocols=("npm",), more="when = 'size_bytes >= 0'"),
        named(more=f"refuse = true\nsources = {json.dumps(every_source)}"),
        named(more="minimum_age = '365d'"),
        named(more="nothing_after = '2025-01-01'"),
        named(more="when = '1 / (size(name) - 1) > -100'"),  # no answer of a name of one letter: it holds
    ]
    narrow = [
        named("demo"),
        named("demo", protocols=("npm",)),
        named(more="refuse = true\nsources = ['mirror']"),
        named(protocols=("npm",), more="refuse = true\nsources = ['mirror']"),
        named(more="refuse = true\naction = 'warn'"),
        named(more="minimum_age = '364d'"),
        named(more="nothing_after = '2025-07-01'"),
        named("demo", more="nothing_after = '2025-01-01'"),
        named(more="when = '1 / (size(name) - 1) > -100'\nunknown = 'allow'"),
    ]
    now = date("2026-06-01")
    found = [refuses_all(each, SOURCES, now) for each in (*wide, *narrow)]
    assert found == [True] * len(wide) + [False] * len(narrow)
