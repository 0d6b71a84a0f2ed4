"""No name of a protocol stands outside the protocols' folders: all else asks the registry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.house.names import ALLOWED, GENERATED, NAMES, ROOT, named_in, named_outside


def test_outside_the_folders__no_protocol_is_named() -> None:
    found, used = named_outside()
    assert found == []
    assert {(place, text) for place, texts in ALLOWED.items() for text in texts} == used, "allowed in vain"


@pytest.mark.parametrize(
    "source",
    [
        'x = "pypi"',
        "npm_upstream = 1",
        "def f(maven): ...",
        "from shared.protocols.pypi import names",
        'f"{base}/maven/"',
        "class NpmTable: ...",
        "settings.pypi_upstream",
        'kinds = {"npm": 1}',
        "f(npm=1)",
    ],
)
def test_named_in__each_way_to_name_one__is_found(source: str) -> None:
    assert list(named_in(source))


@pytest.mark.parametrize(
    "source",
    [
        'filename.endswith(".metadata")',
        'MAGIC = {".whl": ZIP}',
        "sql = \"AND m.filename = c.filename || '.metadata'\"",
        'headers.get(f"x-checksum-{name}")',
        'project.endswith(":*")',
        're.sub(r"[-_.]+", "-", part)',
        'member == "package.json"',
    ],
)
def test_named_in__a_word_of_a_protocol_s_grammar__is_found(source: str) -> None:
    assert list(named_in(source))


@pytest.mark.parametrize(
    "source", ['key = "orchard:package_index:*"', 'host = "api.metadata.example.com"', 'kind = "metadata"']
)
def test_named_in__words_that_only_look_like_grammar__are_none(source: str) -> None:
    assert list(named_in(source)) == []


@pytest.mark.parametrize("source", ['"""As for npm."""', "x = 1  # pypi", 'def f():\n    """Of Maven."""\n'])
def test_named_in__prose__is_not_code(source: str) -> None:
    assert list(named_in(source)) == []


def test_table_of_the_command__is_what_the_registry_gives() -> None:
    command = [sys.executable, "-m", "scripts.cli_table"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert GENERATED.read_text() == made, "run: python -m scripts.cli_table > services/cli/table.py"


def test_registry__loads_no_role_of_a_protocol() -> None:
    """What a service does not ask for, it does not load."""
    code = "import sys, shared.protocols; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = [name for name in done.stdout.split() if name.startswith("shared.protocols.")]
    assert loaded
    assert [name for name in loaded if name.split(".")[2] in NAMES and name.count(".") > 2] == []
