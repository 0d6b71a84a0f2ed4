"""Conditions in CEL (Common Expression Language, cel-spec 0.25) over the facts of a version. Pure.

CEL has no loops but its macros, and no side effects. So what a condition costs is bounded before it is taken:
its length, how deep it is, and that no macro lies in another; and by the facts, whose lists are short.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shared.policy import late
from shared.policy.complaints import of_condition

LONGEST = 1_000  # characters
DEEPEST = 20  # brackets in one another
MOST_MACROS = 8

_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*$")
_TEXT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")

FACTS: Mapping[str, Any] = {
    "protocol": "any",
    "name": "left-pad",
    "version": "1.3.0",
    "source": "central",
    "published": 0.0,  # unix seconds; 0: not known
    "licence": "",
    "scripts": False,
    "sdist_only": False,
    "dependencies": [""],
    "maintainers": [""],
    "new_dependencies": [""],
    "new_maintainers": [""],
    "new_scripts": False,
    "size_bytes": 0,
    "size_times": 0.0,
    "yanked": False,
    "deprecated": False,
}
"""The names that a condition may use, each with a value of its type."""


class BadCondition(ValueError):
    """It cannot be read, costs too much, or is no condition."""


def check(text: str) -> None:
    """Raises `BadCondition` with the reason, also for what does not give true or false."""
    try:
        holds(text, FACTS)
    except BadCondition as error:
        raise BadCondition(of_condition(text, str(error), FACTS)) from None


def holds(text: str, facts: Mapping[str, Any]) -> bool:
    """Whether a condition holds of these facts (`FACTS`). Raises `BadCondition` where it does not say."""
    program = _compiled(text)
    try:
        found = program.execute(dict(facts))
    except Exception as error:  # whatever the library raises: an unknown name, a division by zero
        raise BadCondition(str(error)[:300]) from None
    if not isinstance(found, bool):
        raise BadCondition(f"it gives {type(found).__name__}, not true or false: compare it with something")
    return found


@lru_cache(256)
def _compiled(text: str) -> Any:
    _check_cost(text)
    cel = late.cel()
    try:
        return cel.compile(text)
    except Exception as error:
        raise BadCondition(" ".join(str(error).split())[:300]) from None


def _check_cost(text: str) -> None:
    if len(text) > LONGEST:
        raise BadCondition(f"longer than {LONGEST} characters")
    code = _TEXT.sub(" '' ", text)
    plain = code.replace("''", "")
    if (
        "'" in plain or '"' in plain or re.search(r"//|''\s*''|[rRbB]\s*''", code)
    ):  # where a text ends must be plain
        raise BadCondition("comments, raw texts and texts in three quotes are not taken")
    open_at: list[bool] = []  # of each bracket that is open, whether it is a macro's
    macros = 0
    for at, char in enumerate(code):
        if char in "([{":
            is_macro = char == "(" and _MACRO.search(code[:at]) is not None
            if is_macro and any(open_at):
                raise BadCondition("a macro (all, exists, map, filter) lies in another")
            macros += is_macro
            open_at.append(is_macro)
        elif char in ")]}" and open_at:
            open_at.pop()
        if len(open_at) > DEEPEST:
            raise BadCondition(f"more than {DEEPEST} brackets in one another")
    if macros > MOST_MACROS:
        raise BadCondition(f"more than {MOST_MACROS} macros")
    if len(re.findall(r"!\s*!|-\s*-", code)) > DEEPEST:
        raise BadCondition("more signs in one another than make sense")
