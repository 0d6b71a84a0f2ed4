"""Rules of the policy file as text, and what the audit says of a change of them."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import msgspec
import pytest

from services.cli.commands.audit import LONGEST, changes
from services.cli.commands.policy_text import as_table, as_toml
from services.gateway.api.admin.policy_reading import read
from services.gateway.api.admin.popular import popular_names
from shared.policy.reading import put_in_force
from shared.protocols import PROTOCOLS

SOURCES = {each.name: frozenset({"central"}) for each in PROTOCOLS}

FILE = r"""
[[rule]]
name = 'a "quoted" name'
protocols = ["npm", "cargo"]
names = ["Acme_*", "lodash"]
sources = ["central"]
refuse = true
action = "warn"
reason = 'see C:\wiki — "now"'

[[rule]]
name = "few licences"
licences = {allow = ["MIT"], deny = ["AGPL-3.0-only"], unknown = "hold", none = "allow"}

[[rule]]
name = "typos"
typo_of = ["*", "Mine_X"]
began = "2026-11-01"

[[rule]]
name = "a condition"
when = '''
name == "x" &&
  yanked'''
unknown = "allow"

[[rule]]
name = "ours"
names = ["org.example"]
protocols = ["maven"]
signed_by = ["8756c4f765c9ac3cb6b85d62379ce192d401ab61"]
unverified = "hold"

[[rule]]
name = "at once"
minimum_age = "0"
"""


def shown(text: str) -> list[dict[str, Any]]:
    """As the gateway answers."""
    rules = put_in_force(read(text, popular_names(""), SOURCES), [], 1e9)
    found: list[dict[str, Any]] = json.loads(msgspec.json.encode([each.as_written() for each in rules]))
    return found


def test_toml__is_the_file_that_was_applied() -> None:
    again = as_toml(shown(FILE))
    assert tomllib.loads(again)["rule"] == tomllib.loads(FILE)["rule"]
    assert shown(again) == shown(FILE)


def test_toml__long_lists_and_characters_of_every_kind() -> None:
    names = [f"package-{number}" for number in range(500)]
    rule = {"name": "x\x7f\t€", "names": names, "refuse": True, "format": 1, "since": 1.0}
    (read_again,) = tomllib.loads(as_toml([rule]))["rule"]
    assert read_again == {"name": rule["name"], "names": names, "refuse": True}
    assert max(map(len, as_toml([rule]).splitlines())) < 100


def test_toml__of_what_a_version_before_applied__says_so() -> None:
    old = {"name": "x", "names": ["a", "a:*"], "refuse": True, "since": 1.0}
    assert "Better apply the file" in as_toml([old])
    assert "Better apply the file" not in as_toml([{**old, "format": 1}, {"name": "y", "when": "true"}])


def test_table__one_short_line_for_each_rule__in_words() -> None:
    many = ", ".join(f'"package-{number}"' for number in range(5000))
    lines = as_table(shown(FILE.replace('"lodash"]', f"{many}]"))).splitlines()
    assert len(lines) == 7 and max(map(len, lines)) < 230
    assert "npm, cargo, Acme_* and 5001 more" in lines[1]
    assert 'allow ["MIT"], deny ["AGPL-3.0-only"], unknown "hold"' in lines[2]
    assert 'typo_of = ["*", "Mine_X"]' in lines[3] and "{" not in "".join(lines)


RULES = [{"name": "a", "refuse": True}, {"name": "b", "typo_of": ["*"]}]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([], RULES, "a: new, b: new"),
        (RULES, [{"name": "a", "refuse": True, "names": ["x"]}], "a: changed, b: gone"),
        (RULES, RULES[::-1], "order: b, a"),
        (RULES, RULES, "nothing changed"),
        ({"reason": "x"}, {"reason": "y"}, "reason: x -> y"),
        (None, {"reason": "x"}, '{"reason": "x"}'),
    ],
)
def test_audit__tells_the_rules_that_changed(before: Any, after: Any, told: str) -> None:
    assert changes(before, after) == told


def test_audit__no_line_is_long() -> None:
    long = [{"name": f"rule {number}", "names": ["x" * 80] * 100} for number in range(200)]
    for before, after in (([], long), (None, {"names": ["x" * 12_000]}), ({"a": "x" * 900}, {"a": "y"})):
        assert len(changes(before, after)) == LONGEST
