"""Conditions in CEL (Common Expression Language, cel-spec 0.25) over the facts of a version. Pure.

CEL has no loops but its macros, and no side effects. So what a condition costs is bounded before it is taken:
its length, how deep it is, that no macro lies in another, and that no value grows: macros are asked of the
facts' lists (`traits.MOST_TOLD` entries at most) or of what a `filter` left of one; there is no `map`;
nothing is added up in a macro; and functions are those of `FUNCTIONS`. Patterns of `matches` are read anew
each time: they stand in the condition, and what reading them costs is measured once, when it is taken.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from shared.policy import late
from shared.policy.complaints import of_condition

LONGEST = 1_000  # characters
LONGEST_TOGETHER = 10_000  # of all conditions of one file
DEEPEST = 20  # brackets in one another
MOST_MACROS = 8

LONGEST_PATTERNS = 300  # characters of a condition's patterns
PATTERNS_MS = 1.0  # processor time of reading all patterns of one file once

MACROS = frozenset(("all", "exists", "exists_one", "existsOne", "filter"))
_OF_TEXTS = frozenset(("contains", "endsWith", "matches", "startsWith"))
FUNCTIONS = MACROS | _OF_TEXTS | {"size", "has", "double", "duration", "int", "string", "timestamp", "uint"}

_CALL = re.compile(r"(\w+)\s*$")
_LIST = re.compile(r"(?:^|[^\w.\s])\s*(\w+)\s*\.\s*\w+\s*$")
_OF_FILTER = re.compile(r"\)\s*\.\s*\w+\s*$")
_PATTERN = re.compile(r"\bmatches\s*\(\s*('')?\s*(\))?")
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


_ALL_TRUE = {name: True if value is False else value for name, value in FACTS.items()}
_NAME = re.compile(r"(?<![\w.])\s*([A-Za-z_]\w*)(?!\w)(?!\s*\()")
_OF_MACRO = re.compile(r"\(\s*([A-Za-z_]\w*)\s*,")  # what a macro calls each entry
_WORDS = frozenset(("true", "false", "null", "in"))


class BadCondition(ValueError):
    """It cannot be read, costs too much, or is no condition."""


def check(text: str) -> None:
    """Raises `BadCondition` with the reason, also for what does not give true or false. What stands behind
    `&&` is asked too, which no evaluation need come to."""
    try:
        for facts in (FACTS, _ALL_TRUE):
            holds(text, facts)
        _check_names(_code(text))
    except BadCondition as error:
        raise BadCondition(of_condition(text, str(error), FACTS)) from None


def check_together(texts: Sequence[str]) -> None:
    """Raises `BadCondition` for conditions that each may be taken, and cost too much together."""
    if sum(map(len, texts)) > LONGEST_TOGETHER:
        raise BadCondition(f"all conditions together are longer than {LONGEST_TOGETHER} characters")
    spent = sum(_pattern_ms(pattern) for text in texts for pattern in _patterns(text, _code(text)))
    if spent > PATTERNS_MS:
        raise BadCondition(f"the patterns of `matches` take {spent:.1f} ms to read, more than {PATTERNS_MS}")


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


def _code(text: str) -> str:
    """It with empty texts in place of its texts."""
    return _TEXT.sub(" '' ", text)


def _check_cost(text: str) -> None:
    if len(text) > LONGEST:
        raise BadCondition(f"longer than {LONGEST} characters")
    code = _code(text)
    plain = code.replace("''", "")
    if (
        "'" in plain or '"' in plain or re.search(r"//|''\s*''|[rRbB]\s*''", code)
    ):  # where a text ends must be plain
        raise BadCondition("comments, raw texts and texts in three quotes are not taken")
    _check_brackets(code)
    if len(re.findall(r"!\s*!|-\s*-", code)) > DEEPEST:
        raise BadCondition("more signs in one another than make sense")
    if sum(map(len, _patterns(text, code))) > LONGEST_PATTERNS:
        raise BadCondition(f"patterns of more than {LONGEST_PATTERNS} characters")


def _check_names(code: str) -> None:
    known = _WORDS | FUNCTIONS | FACTS.keys() | set(_OF_MACRO.findall(code))
    for name in _NAME.findall(code):
        if name not in known:
            raise BadCondition(f"Undefined variable or function: '{name}'")


def _check_brackets(code: str) -> None:
    open_at: list[str] = []  # of each bracket that is open, the function that is called with it; "": none
    of_filter: set[int] = set()  # where calls of `filter` end
    macros = 0
    for at, char in enumerate(code):
        if char in "([{":
            called = _CALL.search(code[:at]) if char == "(" else None
            name = "" if called is None or called[1] == "in" else called[1]
            if name and name not in FUNCTIONS:
                raise BadCondition(f"no function {name[:40]!r}: there are {', '.join(sorted(FUNCTIONS))}")
            if name in MACROS:
                _check_macro(code[:at], open_at, of_filter)
            macros += name in MACROS
            open_at.append(name)
        elif char in ")]}" and open_at and open_at.pop() == "filter":
            of_filter.add(at)
        elif char == "+" and MACROS.intersection(open_at):
            raise BadCondition("nothing is added up in a macro (all, exists, filter)")
        if len(open_at) > DEEPEST:
            raise BadCondition(f"more than {DEEPEST} brackets in one another")
    if macros > MOST_MACROS:
        raise BadCondition(f"more than {MOST_MACROS} macros")


def _check_macro(before: str, open_at: list[str], of_filter: set[int]) -> None:
    """Of the code before a macro's bracket."""
    if MACROS.intersection(open_at):
        raise BadCondition("a macro (all, exists, filter) lies in another")
    found, chained = _LIST.search(before), _OF_FILTER.search(before)
    is_list = found is not None and isinstance(FACTS.get(found[1]), list)
    if not is_list and (chained is None or chained.start() not in of_filter):
        lists = ", ".join(name for name, value in FACTS.items() if isinstance(value, list))
        raise BadCondition(f"a macro is asked of one of {lists}, or of what `filter` left of one")


def _patterns(text: str, code: str) -> list[str]:
    """Of `matches`, as they are written, quotes and all."""
    texts = _TEXT.findall(text)
    found = []
    for each in _PATTERN.finditer(code):
        if each[1] is None or each[2] is None:
            raise BadCondition("the pattern of `matches` is one text that stands there")
        found.append(texts[code.count("''", 0, each.start())])
    return found


def _pattern_ms(pattern: str) -> float:
    program = late.cel().compile(f"''.matches({pattern})")
    spent = []
    for _ in range(5):
        began = time.thread_time()
        program.execute({})
        spent.append(time.thread_time() - began)
    return 1000 * min(spent)
