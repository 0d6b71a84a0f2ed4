"""Ensure files: what is wrong is told with its place, equal requirements have one key."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from shared.errors import EnsureInvalid
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import MAX_REQUIREMENTS
from shared.resolving.ensure_file import MAX_APART, manifest_kind, read_json, read_toml, refuse_manifest
from shared.resolving.pinned import kind_of

FILE = """
# what the service needs
[pypi]
requirements = ["Flask", "httpx[http2]>=0.27"]
as_of = 2026-01-01T00:00:00Z
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[pypi]\nrequirments = ["a"]', "line 2, column 1: unknown key in [pypi]: 'requirments'; did you"),
        ('[pypi]\nrequirements = "a"', "line 2, column 1: pypi.requirements: expected a list of strings"),
        ('[pypi]\nrequirements = ["a",\n  3]', "line 3, column 3: pypi.requirements[1]: expected a string"),
        ('[pypi]\nrequirements = ["a", "b c d"]', "line 2, column 22: pypi.requirements[1]: 'b c d' is no"),
        ('[pypi]\nrequirements = ["a @ ftp://x/y"]', "line 2, column 17: pypi.requirements[0]: a names an"),
        ('[pypi]\nrequirements = ["a"]\nenvironment = "cp1"', "line 3, column 1: pypi.environment: expected"),
        ('[pypi]\nrequirements = ["a"]\nas_of = "soon"', "line 3, column 1: pypi.as_of: expected a date"),
        ('[pypi]\nrequirements = ["a"]\ninclude_optional = 1', "line 3, column 1: pypi.include_optional"),
        ('[pipy]\nrequirements = ["a"]', "line 1, column 1: unknown table 'pipy'; did you mean 'pypi'?"),
        ('pypi = "flask"', "line 1, column 1: pypi: expected a table"),
        ("[pypi\nrequirements = []", "line 1, column 6: "),
        ('[pypi]\nrequirements = ["a"', "line 2, column 20: "),
        ('[npm]\ndependencies = ["express"]', "line 2, column 1: npm.dependencies: expected a table"),
        ('[npm]\ndependencies = {a = "1",\tb = 2}', "line 2, column 26: npm.dependencies.b: expected a"),
        ('[maven]\nplugins = [1]', "line 2, column 12: maven.plugins[0]: expected a string, not a number"),
        ("", "nothing to ensure"),
        ("[pypi]\n", "nothing to ensure"),
        ("a = [" * 2000, "line 1"),
        ("[pypi]\nas_of = " + "9" * 5000, "line 1, column 1: nested too deeply, or a number is too long"),
        ("\n " + ".".join("a" * 33) + " = 1", "line 2, column 2: more than 32 parts"),
        ("[ 'x' . " + " . ".join(['"y"'] * 32) + " ]", "line 1, column 3: more than 32 parts"),
        (f"n = {{{'.'.join(['a-b'] * 33)} = 1}}", "line 1, column 6: more than 32 parts"),
    ],
)  # fmt: skip
def test_wrong__told_with_line_and_column(text: str, told: str) -> None:
    with pytest.raises(EnsureInvalid) as raised:
        read_toml(text)
    assert raised.value.message.startswith(told) or told in raised.value.message
    assert raised.value.message.startswith("line ")


@pytest.mark.parametrize("text", ["a." * 60_000 + "a = 1", "a" * 120_000, '"' * 120_000, ". " * 60_000])
def test_long_keys__refused_in_bounded_memory(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(EnsureInvalid):
            read_toml(text)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"pypi": {"requirements": ["a",]}}', "line 1, column "),
        ('{"pypi": {"requirements": [1]}}', "pypi.requirements[0]: expected a string, not a number"),
        ('{"pypi": {"requirements": null}}', "expected a list of strings, not null"),
        ("[]", "expected an object"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json__wrong__told(text: str, told: str) -> None:
    with pytest.raises(EnsureInvalid) as raised:
        read_json(text)
    assert told in raised.value.message


def test_order_and_spelling__one_key() -> None:
    respelt = """
    pypi.as_of = 2026-01-01
    pypi.environment = "cp311-manylinux_2_36_x86_64"
    pypi.requirements = ["HTTPX[HTTP2] >= 0.27", "flask", "flask"]
    """
    assert read_toml(FILE).key == read_toml(respelt).key
    assert read_toml(FILE).document == read_toml(respelt).document


@pytest.mark.parametrize(
    "line",
    ['environment = "cp312-manylinux_2_36_x86_64"', "include_optional = true", 'requirements = ["flask"]'],
)
def test_another_option__another_key(line: str) -> None:
    lines = [each for each in FILE.splitlines() if not each.startswith(line.split(" ")[0])]
    assert read_toml("\n".join([*lines, line])).key != read_toml(FILE).key


def test_canonical__reads_back_as_the_same_file_from_json() -> None:
    file = read_toml(FILE)
    assert read_json(file.document) == file
    assert json.loads(file.document) == file.canonical
    assert file.canonical["pypi"]["requirements"] == ["flask", "httpx[http2]>=0.27"]


def test_too_many__told() -> None:
    lines = ", ".join(f'"a{number}"' for number in range(MAX_REQUIREMENTS + 1))
    with pytest.raises(EnsureInvalid, match=str(MAX_REQUIREMENTS)):
        read_toml(f"[pypi]\nrequirements = [{lines}]")
    assert MAX_APART < MAX_REQUIREMENTS


def test_npm_and_maven__in_their_own_spelling() -> None:
    file = read_toml(
        """
        [npm.dependencies]
        express = "^4"
        "@scope/tool" = "npm:tool@1"
        [maven]
        dependencies = ["com.example:tool:1.0"]
        plugins = ["com.example:b-plugin:2", "com.example:a-plugin:maven-plugin:1"]
        """
    )
    npm, maven = file.canonical["npm"], file.canonical["maven"]
    assert npm["dependencies"] == {"@scope/tool": "npm:tool@1", "express": "^4"}
    assert maven["dependencies"] == ["com.example:tool:1.0"]
    assert maven["plugins"] == ["com.example:a-plugin:maven-plugin:1", "com.example:b-plugin:maven-plugin:2"]
    assert read_json(file.document) == file
    alone = read_toml('[maven]\nplugins = ["com.example:a-plugin:1"]').plans[0]
    assert alone.request is None and len(alone.apart) == 1


OVERRIDES = """
[npm]
dependencies = {a = "^1"}

[npm.overrides]
d = "1"
"b@>=2" = "3"
b = {"." = "2", c = "$a"}
"""


def test_npm_overrides__in_one_spelling__those_of_one_name_in_their_order() -> None:
    file = read_toml(OVERRIDES)
    shown = file.canonical["npm"]["overrides"]
    assert list(shown.items()) == [("b@>=2", "3"), ("b", {".": "2", "c": "$a"}), ("d", "1")]
    back = read_json(file.document)
    assert (back, list(back.canonical["npm"]["overrides"])) == (file, list(shown))
    respelt = """
        npm.overrides = {"b@>=2" = {"." = "3"}, b = {c = "$a", "." = " 2 "}, d = "1"}
        npm.dependencies.a = "^1"
        """
    swapped = OVERRIDES.replace('"b@>=2" = "3"\n', "") + '"b@>=2" = "3"\n'
    assert read_toml(respelt).key == file.key != read_toml(swapped).key
    without = read_toml('[npm]\ndependencies = {a = "^1"}')
    assert (without.spoken, file.spoken) == (("npm",), ("npm", "projects"))
    assert "overrides" not in without.canonical["npm"]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ('b = "$c"', "line 4, column 1: npm.overrides.b: '$c' names no direct dependency"),
        ('b = {c = "$b"}', "line 4, column 6: npm.overrides.b.c: '$b' names no direct dependency"),
        ('a = "2"', "line 4, column 1: npm.overrides.a: it conflicts with the direct dependency a@^1"),
        ("b = 1", "line 4, column 1: npm.overrides.b: expected a string or a table, not a number"),
        ("b = {c = []}", "line 4, column 6: npm.overrides.b.c: expected a string or a table, not a list"),
        ('"../b" = "1"', "line 4, column 1: npm.overrides.../b: no package has this name"),
    ],
)
def test_npm_overrides__wrong__told_with_line_and_column(rules: str, told: str) -> None:
    with pytest.raises(EnsureInvalid) as raised:
        read_toml(f'[npm]\ndependencies = {{a = "^1"}}\n[npm.overrides]\n{rules}')
    assert raised.value.message.startswith(told)


def test_npm_overrides__thousands_and_deep_ones__refused() -> None:
    many = "\n".join(f'b{number} = "1"' for number in range(3000))
    deep = json.loads('{"b":' * 500 + '"1"' + "}" * 500)
    for overrides, told in ((f"{many}", "at most 1000 rules"), ("", "tables")):
        with pytest.raises(EnsureInvalid, match=told):
            if overrides:
                read_toml(f"[npm.overrides]\n{overrides}\n[npm.dependencies]\na = '1'")
            else:
                read_json(json.dumps({"npm": {"dependencies": {"a": "1"}, "overrides": deep}}))


@pytest.mark.parametrize(
    ("protocol", "name"), [(each, name) for each in PROTOCOLS for name in each.locks.not_taken]
)
def test_file_of_a_project_that_is_no_lock__the_error_names_what_to_post(
    protocol: PackageProxyBase, name: str
) -> None:
    assert not manifest_kind(name)
    assert not kind_of(name, b"")
    with pytest.raises(EnsureInvalid) as refused:
        refuse_manifest(name.title())
    assert refused.value.message == f"{name.title()}: is not resolved here"
    assert protocol.locks.not_taken[name] in refused.value.hint
    refuse_manifest("orchard.toml")


def test_every_protocol__names_files_of_projects_that_are_not_taken() -> None:
    assert all(each.locks.not_taken for each in PROTOCOLS)
