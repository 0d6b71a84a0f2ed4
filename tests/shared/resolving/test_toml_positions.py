"""Places of keys and elements in TOML texts, compared with what `tomllib` reads out of the same texts."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from shared.resolving.toml_positions import Path, positions

TEXTS = {
    "plain": "a = 1\nb = 'x'\n",
    "tables": '[pypi]\nrequirements = [ "flask", \'httpx\' ]\n\n[npm.dependencies]\nexpress = "^4"\n',
    "comments and commas": "# first\nx = [ # one\n  1, # two\n  2,\n]\n  # last",
    "dotted and quoted keys": 'a.b."c.d".\'e\' = 1\n[ "x y" . z ]\nk = 2\n',
    "inline tables": 'n = { express = "^4", "@a/b" = { c = [1, 2] }, }'.replace(", }", " }"),
    "arrays of tables": "[[t]]\nx = 1\n[[t]]\nx = 2\n[t.u]\ny = 3\n",
    "strings with everything in them": (
        'a = "]#\\"=\\\\"\nb = \'#[\'\n'
        'c = """\n# no comment "" \\""" """\nd = \'\'\'\nx = [\'\'\'\ne = [ """q""", \'\' ]\n'
    ),
    "dates, numbers, nested arrays": "d = 1979-05-27 07:32:00Z\nn = [[1.5e3, 0x1F], [true]]\nl = []\n",
    "windows line ends": 'a = 1\r\n[b]\r\nc = ["x",\r\n"y"]\r\n',
    "empty": "",
    "comment alone": "# nothing",
}


def _paths(value: Any, path: Path = ()) -> dict[Path, Any]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    found: dict[Path, Any] = {}
    for key, each in items:
        found[(*path, key)] = each
        if isinstance(each, (dict, list)):
            found |= _paths(each, (*path, key))
    return found


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_positions__every_key_and_element_has_one(text: str) -> None:
    known = {path for path in _paths(tomllib.loads(text)) if not isinstance(path[-1], int) or len(path) > 1}
    found = positions(text)
    missing = {path for path in known if path not in found}
    assert not {path for path in missing if not _is_implied(path, found)}


def _is_implied(path: Path, found: dict[Path, tuple[int, int]]) -> bool:
    """A table that only headers below it name, or the list of `[[t]]`, has no place of its own."""
    return any(each[: len(path)] == path for each in found)


def test_positions__lines_and_columns_from_one() -> None:
    text = '[pypi]\nrequirements = [\n  "flask", # one\n   "b" ]\n[npm]\n  dependencies = {x = "1", y = 2}\n'
    found = positions(text)
    assert found["pypi",] == (1, 1)
    assert found["pypi", "requirements"] == (2, 1)
    assert found["pypi", "requirements", 1] == (4, 4)
    assert found["npm", "dependencies", "y"] == (6, 28)
