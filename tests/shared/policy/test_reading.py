"""What is wrong with a policy file is told with the rule, the key, and what to write."""

from __future__ import annotations

import pytest

from shared.errors import InvalidParameter
from shared.policy.reading import HINT, read_policy
from shared.protocols import PROTOCOLS

NAMING = {each.name: each.names for each in PROTOCOLS}
ONE = "[[rule]]\nname = 'a'\n"

BAD = {
    "no TOML": ("[[rule", "it is no TOML: "),
    "one bracket": (
        "[rule]\nname = 'a'",
        "'rule' is no list of rules: rules are tables that begin with a line",
    ),
    "another table": ("[[rules]]\nname = 'a'", "'rules' stands outside of a rule: "),
    "no name": ("[[rule]]\nrefuse = true", "rule 1 of the file has no name: "),
    "no name, further down": (
        f"{ONE}refuse = true\n[[rule]]\nonly = true",
        "rule 2 of the file has no name: ",
    ),
    "a name that is none": (
        "[[rule]]\nname = 3",
        "rule 1 of the file: name: expected a text in quotes, not 3",
    ),
    "an unknown key": (f"{ONE}nmaes = ['x']", "rule 'a': it has no 'nmaes'; did you mean 'names'?"),
    "a key near to none": (f"{ONE}zzz = 1", "rule 'a': it has no 'zzz'"),
    "a key of a table": (
        f"{ONE}licences = {{alow = ['MIT']}}",
        "rule 'a': licences: it has no 'alow'; did you mean 'allow'?",
    ),
    "no table": (f"{ONE}licences = 'MIT'", "rule 'a': licences: expected a table, such as {deny ="),
    "no list": (f"{ONE}names = 'x'\nrefuse = true", "rule 'a': names: expected a list of texts in quotes, "),
    "a list of numbers": (f"{ONE}names = [1]\nrefuse = true", "rule 'a': names: expected a list of texts"),
    "no truth": (
        f"{ONE}refuse = 'yes'",
        "rule 'a': refuse: expected true or false, without quotes, not 'yes'",
    ),
    "no text": (f"{ONE}minimum_age = 7", "rule 'a': minimum_age: expected a text in quotes, not 7"),
    "a date of TOML": (
        f"{ONE}refuse = true\nbegan = 2026-01-01",
        "rule 'a': began: expected a text in quotes",
    ),
    "no word of these": (
        f"{ONE}install_scripts = 'nwe'",
        "rule 'a': install_scripts: expected 'any' or 'new', not 'nwe'; did you mean 'new'?",
    ),
    "no age": (f"{ONE}minimum_age = 'soon'", "rule 'a': minimum_age: expected days or hours"),
    "no date": (f"{ONE}nothing_after = 'soon'", "rule 'a': nothing_after: expected a date"),
    "no beginning": (f"{ONE}refuse = true\nbegan = 'soon'", "rule 'a': began: expected a date"),
    "what is made": (
        f"{ONE}refuse = true\nsince = 3.0",
        "rule 'a': since: it is made when a rule is applied",
    ),
    "no such protocol": (
        f"{ONE}refuse = true\nprotocols = ['mven']",
        "rule 'a': protocols: 'mven' is none of pypi, npm, maven, cargo; did you mean 'maven'?",
    ),
    "two questions": (
        f"{ONE}refuse = true\nwhen = 'yanked'",
        "rule 'a': it asks refuse and when, and a rule asks one",
    ),
    "no question": (ONE, "rule 'a': it asks nothing: expected one of minimum_age, "),
    "an unknown fact": (
        f"{ONE}when = 'nam == \"x\"'",
        "rule 'a': when: it asks 'nam', which is nothing; did you mean 'name'?",
    ),
    "an unknown function": (
        f"{ONE}when = 'foo(name)'",
        "when: no function 'foo': there are all, contains, ",
    ),
    "an open end": (
        f"{ONE}when = 'size_bytes > '",
        "when: it cannot be read from line 1, character 14 on: it ends too early",
    ),
    "signs that are none": (
        f"{ONE}when = 'name == )'",
        "when: it cannot be read from line 1, character 9 on: ')' is not",
    ),
    "two kinds": (
        f"{ONE}when = 'size_bytes > name'",
        "of two kinds (size_bytes is a whole number, name is a text)",
    ),
    "licences that ask nothing": (f"{ONE}licences = {{deny = []}}", "rule 'a': licences: it asks nothing: "),
    "names too short to be mistaken": (
        f"{ONE}typo_of = ['req', 'six']",
        "rule 'a': typo_of: nothing is nearly a name of fewer than 4 letters",
    ),
    "a number alone": (f"{ONE}when = 'size_bytes'", "when: it gives int, not true or false: compare it"),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_bad_file__rule_key_and_what_to_write(text: str, told: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        read_policy(text, NAMING, {}, {})
    message = raised.value.message
    assert message.startswith("policy: ") and told in message
    assert "$" not in message and "`str`" not in message  # of the library that reads it
    assert raised.value.hint == HINT


def test_conditions__cost_too_much_together__refused() -> None:
    def rules(count: int) -> str:
        long = " " * 900
        return "".join(f"[[rule]]\nname = 'r{n}'\nwhen = 'size_bytes > {n}{long}'\n" for n in range(count))

    assert len(read_policy(rules(9), NAMING, {}, {})) == 9
    with pytest.raises(InvalidParameter, match="all conditions together"):
        read_policy(rules(12), NAMING, {}, {})
