"""What pip and uv ask next: environments out of their User-Agents, likeliest wheels, dependencies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import UpstreamInvalid
from shared.models import FileName
from shared.policy.project import NOTHING, ProjectVerdicts
from shared.protocols.pypi import ahead
from shared.protocols.pypi.ahead import PyPIAhead
from shared.protocols.pypi.document import Document, Envelope
from shared.protocols.roles.ahead import MOST_NAMES
from tests.support.builders import core_metadata

AHEAD = PyPIAhead()
CP312 = "cp312-manylinux_2_36_x86_64"
FILE = FileName("pypi", "demo", "0" * 64, "demo-1.0-py3-none-any.whl.metadata")


def agent(name: str = "uv/0.9.1", **more: Any) -> str:
    told: dict[str, Any] = {
        "python": "3.12.3",
        "implementation": {"name": "CPython", "version": "3.12.3"},
        "distro": {"name": "x", "version": "1", "libc": {"lib": "glibc", "version": "2.36"}},
        "system": {"name": "Linux", "release": "6"},
        "cpu": "x86_64",
        "ci": None,
    }
    return f"{name} {json.dumps(told | more)}"


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (agent(), CP312),
        (agent("pip/25.1"), CP312),
        (agent(python="3.13.0rc1"), "cp313-manylinux_2_36_x86_64"),
        (agent(cpu="aarch64"), "cp312-manylinux_2_36_aarch64"),
        (
            agent(distro={"libc": {"lib": "musl", "version": "1.2"}}),
            "cp312-musllinux_1_2_x86_64",
        ),
        (
            agent(system={"name": "Darwin"}, distro={"name": "macOS", "version": "14.5"}, cpu="arm64"),
            "cp312-macosx_14_0_arm64",
        ),
        (
            agent(system={"name": "Darwin"}, distro={"name": "macOS", "version": "10.15.7"}),
            "cp312-macosx_10_15_x86_64",
        ),
        (agent(system={"name": "Windows"}, distro=None, cpu="AMD64"), "cp312-win_amd64"),
        (agent(python=None), ""),
        (agent(python="2.7.18"), ""),
        (agent(python="3"), ""),
        (agent(implementation={"name": "PyPy"}), ""),
        (agent(distro={"libc": {"lib": "glibc", "version": "99.99.99"}}), ""),
        (agent(distro={"libc": {"lib": "glibc", "version": "\u00b2"}}), ""),
        (agent(cpu=7), ""),
        (agent("poetry/1.8"), ""),
        ("uv/0.9.1", ""),
        ("uv/0.9.1 {", ""),
        ("uv/0.9.1 " + "[" * 5000, ""),
        ("pip/25 {}", ""),
        ("curl/8.5", ""),
        ("", ""),
    ],
)
def test_tool__of_a_user_agent__names_the_environment(user_agent: str, expected: str) -> None:
    assert AHEAD.tool(user_agent) == expected


def page(*filenames: str, **fields: Any) -> Document:
    files = [
        {"filename": name, "url": f"https://x.example.com/{name}", "hashes": {"sha256": f"{n:064x}"}} | fields
        for n, name in enumerate(filenames)
    ]
    return Document(Envelope(1, "simple/demo", "s", {"meta": {}, "name": "demo", "files": files}))


def likeliest(
    document: Document, wanted: str = "", tool: str = CP312, blocks: ProjectVerdicts = NOTHING
) -> str:
    found = AHEAD.after_index("simple/demo", document, tool, wanted, blocks)
    assert len(found) <= 1
    return found[0].file.filename.removesuffix(".metadata") if found and found[0].file else ""


def whl(version: str, tag: str = "py3-none-any") -> str:
    return f"demo-{version}-{tag}.whl"


LINUX, MAC = "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-macosx_11_0_arm64"


PAGES = [
    ([whl("1.0"), whl("1.10"), whl("1.9")], "", whl("1.10")),
    ([whl("1.0"), whl("1.10"), whl("1.9")], "<1.10", whl("1.9")),
    ([whl("1.0"), whl("1.10")], "[extra]==1.0", whl("1.0")),
    ([whl("1.0"), whl("2.0rc1")], "", whl("1.0")),
    ([whl("2.0rc1"), whl("2.0rc2")], "", whl("2.0rc2")),
    ([whl("1.0"), whl("2.0rc1")], ">=2.0rc1", whl("2.0rc1")),
    ([whl("1.0"), whl("1.0", LINUX), whl("1.0", MAC)], "", whl("1.0", LINUX)),
    ([whl("1.0"), whl("2.0", MAC)], "", whl("1.0")),
    ([whl("1.0"), "demo-2.0.tar.gz"], "", ""),
    ([whl("2.0"), "demo-2.0.tar.gz"], "", whl("2.0")),
    ([whl("1.0"), "other-2.0-py3-none-any.whl", "demo-x-y.whl"], "", whl("1.0")),
    ([whl("1.0")], ">1", ""),
    ([], "", ""),
]


@pytest.mark.parametrize(("filenames", "wanted", "expected"), PAGES)
def test_page__the_wheel_that_an_installer_takes(filenames: list[str], wanted: str, expected: str) -> None:
    assert likeliest(page(*filenames), wanted) == expected


@pytest.mark.parametrize(("filenames", "wanted", "expected"), PAGES)
def test_page__of_many_files_that_lists_its_versions__the_same_wheel(
    filenames: list[str], wanted: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "FEW_FILES", 0)
    document = page(*filenames)
    document.page["versions"] = [name.removesuffix(".tar.gz").split("-")[1] for name in filenames]
    assert likeliest(document, wanted) == expected


def test_page__of_many_files__no_more_names_are_read_than_of_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ahead, "FEW_FILES", 0)
    versions = [f"{number}.0" for number in range(1, 100)]
    document = page(*map(whl, versions))
    document.page["versions"] = versions
    read: list[str] = []
    parse = ahead.filenames_of("demo")

    def counted(filename: str) -> Any:
        read.append(filename)
        return parse(filename)

    monkeypatch.setattr(ahead, "filenames_of", lambda project: counted)
    assert likeliest(document, "<90") == whl("89.0")
    assert read == [whl("89.0"), whl("88.0"), whl("87.0")]


def test_page__versions_that_are_none_or_lack_the_newest_files__all_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ahead, "FEW_FILES", 0)
    for versions in (None, [], ["x"], ["3.0", "4.0", "5.0", "6.0"]):
        document = page(whl("1.0"), whl("2.0"))
        document.page["versions"] = versions
        assert likeliest(document) == whl("2.0")


def test_page__of_another_system__its_wheel() -> None:
    document = page(whl("1.0", LINUX), whl("1.0", MAC), whl("1.0", "cp312-cp312-win_amd64"))
    assert likeliest(document, tool="cp312-macosx_14_0_arm64") == whl("1.0", MAC)
    assert likeliest(document, tool="cp312-win_amd64") == whl("1.0", "cp312-cp312-win_amd64")


def test_page__yanked_or_for_another_python__is_not_taken() -> None:
    assert likeliest(page(whl("1.0"), yanked=True)) == ""
    assert likeliest(page(whl("1.0"), **{"requires-python": ">=3.13"})) == ""
    assert likeliest(page(whl("1.0"), **{"requires-python": ">=3.13"}), tool="cp313-win_amd64") == whl("1.0")


def test_page__blocked__the_next_version_or_nothing() -> None:
    document = page(whl("1.0"), whl("2.0"))
    assert likeliest(document, blocks=ProjectVerdicts(versions={"2": "x"})) == whl("1.0")
    assert likeliest(document, blocks=ProjectVerdicts(digests={f"{1:064x}": "x"})) == ""


def test_page__the_guess_is_the_file_that_the_page_leads_to() -> None:
    [guess] = AHEAD.after_index("simple/demo", page(whl("1.0")), CP312, "[a]>=1")
    assert guess.file == FileName("pypi", "demo", "0" * 64, whl("1.0") + ".metadata")
    assert guess.wanted == "[a]>=1"


def after(*requires: str, wanted: str = "") -> dict[str, str]:
    content = core_metadata("demo", "1.0", requires=requires)
    found = AHEAD.after_file(FILE, content, CP312, wanted)
    assert all(guess.identity == f"simple/{guess.project}" for guess in found)
    return {guess.project: guess.wanted for guess in found}


@pytest.mark.parametrize(
    ("requires", "wanted", "expected"),
    [
        (["One_Two >=1,<2", "three[b,a]"], "", {"one-two": "<2,>=1", "three": "[a,b]"}),
        (["win; sys_platform == 'win32'", "linux; sys_platform == 'linux'"], "", {"linux": ""}),
        (["old; python_version < '3.12'", "new; python_version >= '3.12'"], "", {"new": ""}),
        (["a", "b; extra == 'x'", "c; extra == 'y'"], "", {"a": ""}),
        (["a", "b; extra == 'x'", "c; extra == 'y'"], "[x]>1", {"a": "", "b": ""}),
        (["a @ https://x.example.com/a.whl", "b"], "", {"b": ""}),
        (["not a requirement", "b"], "", {"b": ""}),
        (["a; nonsense == '1'", "b"], "", {"b": ""}),
        (["a" * 300, "b"], "", {"b": ""}),
        ([f"p{n}" for n in range(MOST_NAMES)], "", {f"p{n}": "" for n in range(MOST_NAMES)}),
        ([f"p{n}" for n in range(MOST_NAMES + 1)], "", {}),
    ],
)
def test_metadata__the_pages_of_what_it_needs(
    requires: list[str], wanted: str, expected: dict[str, str]
) -> None:
    assert after(*requires, wanted=wanted) == expected


def test_metadata__cannot_be_read__says_so() -> None:
    with pytest.raises(UpstreamInvalid):
        AHEAD.after_file(FILE, b"Name: \xff\nName: b\nRequires-Dist: a\n", CP312, "")


def test_reads_file__metadata_of_wheels_alone() -> None:
    assert AHEAD.reads_file(FILE.filename)
    assert not AHEAD.reads_file("demo-1.0-py3-none-any.whl")
    assert not AHEAD.reads_file("demo-1.0.tar.gz.metadata")
