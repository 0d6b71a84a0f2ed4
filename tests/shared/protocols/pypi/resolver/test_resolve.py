"""The resolver against tables of pip's rules: each row is one rule and what pip does with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.errors import (
    InvalidParameter,
    ProjectNotFound,
    ResolutionConflict,
    ResolutionTooLarge,
    UpstreamInvalid,
)
from shared.models import SealedFile
from shared.protocols.pypi.resolver import solver
from shared.protocols.pypi.resolver.environments import DEFAULT_ENVIRONMENT, environment
from shared.protocols.resolution import Absent, Document, KnownDocuments, RootFile, Unavailable
from tests.shared.protocols.pypi.resolver.resolution_support import RESOLVER, Index


@pytest.fixture
def index() -> Index:
    return Index()


# --- which version --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "wanted", "chosen"),
    [
        (["1.0", "2.0", "1.5"], "a", "2.0"),
        (["1.0", "2.0"], "a<2", "1.0"),
        (["1.9", "1.10"], "a", "1.10"),
        (["1.0", "2.0rc1"], "a", "1.0"),  # PEP 440: pre-releases only where asked for …
        (["1.0", "2.0rc1"], "a>=2.0rc1", "2.0rc1"),
        (["2.0a1", "2.0rc1"], "a", "2.0rc1"),  # … or where there is nothing else
        (["1.0", "2.0.dev3"], "a==2.0.dev3", "2.0.dev3"),
        (["1.0", "1.0.post1"], "a==1.0", "1.0"),
        (["1.0", "1.0.post1"], "a>1.0", None),  # PEP 440: ">1.0" excludes post-releases of 1.0
        (["1.0", "1.0+local"], "a==1.0", "1.0+local"),
        (["1.4.2", "1.4.9", "1.5"], "a~=1.4.2", "1.4.9"),
        (["1.4", "1.5"], "a==1.4.*", "1.4"),
        (["1!1.0", "2.0"], "a", "1!1.0"),
    ],
)
def test_version__specifier__as_pip_chooses(
    index: Index, available: list[str], wanted: str, chosen: str | None
) -> None:
    for version in available:
        index.add("a", version)
    if chosen is None:
        with pytest.raises(ResolutionConflict):
            index.versions(wanted)
    else:
        assert index.versions(wanted) == {"a": chosen}


@pytest.mark.parametrize(
    ("yanked", "wanted", "chosen"),
    [
        (["2.0"], "a", "1.0"),  # PEP 592: ignored …
        (["2.0"], "a==2.0", "2.0"),  # … unless pinned exactly
        (["2.0"], "a===2.0", "2.0"),
        (["2.0"], "a>=2.0", None),
        (["2.0"], "a==2.*", None),
        (["1.0", "2.0"], "a", None),
    ],
)
def test_yanked__only_for_an_exact_pin(
    index: Index, yanked: list[str], wanted: str, chosen: str | None
) -> None:
    for version in ("1.0", "2.0"):
        index.add("a", version, yanked="broken" if version in yanked else False)
    if chosen is None:
        with pytest.raises(ResolutionConflict):
            index.resolve(wanted)
        return
    resolution = index.resolve(wanted)
    assert [(node.version, node.yanked) for node in resolution.nodes] == [(chosen, chosen in yanked)]


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["a-1.0-py3-none-any.whl", "a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"], 1),
        (["a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"], 1),
        (["a-1.0-cp311-cp311-manylinux_2_37_x86_64.whl", "a-1.0-cp39-abi3-manylinux2014_x86_64.whl"], 1),
        (["a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1.0.tar.gz"], 1),
        (["a-1.0-cp311-cp311-win_amd64.whl", "a-1.0-py2.py3-none-any.whl"], 1),
        (["a-1.0-cp311-cp311-macosx_11_0_arm64.whl", "a-1.0-py2-none-any.whl", "a-1.0.zip"], 2),
        (["a-1.0-1-py3-none-any.whl", "a-1.0-2-py3-none-any.whl"], 1),
        (["a-1.0-2-py3-none-any.whl", "a-1.0-10-py3-none-any.whl"], 1),
        (["a-1.0.tar.gz", "a-1.0-py3-none-any.whl"], 1),
        (["a-1.0-cp311-cp311-musllinux_1_1_x86_64.whl", "a-1.0.tar.gz"], 1),
        (["a-1.0-py3-none-any.whl", "a-1.1-cp311-cp311-win32.whl"], 0),  # the newest that fits
        (["a-1.0-py3-none-any.whl", "a-1.0.exe", "a-1.0.egg", "a-2.0.egg", "other-3.0.tar.gz"], 0),
    ],
)
def test_file__tags_of_the_environment__the_best_one(index: Index, files: list[str], chosen: int) -> None:
    for filename in files:
        index.add("a", filename.split("-")[1].removesuffix(".tar.gz"), filename=filename)
    assert index.resolve("a").nodes[0].filename == files[chosen]


def test_tags__default_environment__are_those_of_such_a_machine() -> None:
    """packaging's own list for a glibc 2.36 machine, by count, first and last entries."""
    tags = list(environment(DEFAULT_ENVIRONMENT).tags)
    assert len(tags) == 914
    assert tags[:2] == ["cp311-cp311-linux_x86_64", "cp311-cp311-manylinux_2_36_x86_64"]
    assert tags[-1] == "py30-none-any"


@pytest.mark.parametrize(
    ("page_python", "metadata_python", "chosen"),
    [
        (">=3.8", ">=3.8", "2.0"),
        (">=3.12", ">=3.12", "1.0"),
        ("", ">=3.12", "1.0"),  # the page says nothing: backtracking over the metadata
        ("<4", "<4", "2.0"),
        ("nonsense", "", "2.0"),  # pip takes what it cannot read for no limit
        (">=3.11.5,!=3.11.0", "", "2.0"),
    ],
)
def test_requires_python__page_or_metadata__older_version_taken(
    index: Index, page_python: str, metadata_python: str, chosen: str
) -> None:
    index.add("a", "1.0")
    index.add("a", "2.0", python=metadata_python, page_python=page_python)
    assert index.versions("a") == {"a": chosen}


@pytest.mark.parametrize(
    ("name", "python"), [("cp38-manylinux_2_17_x86_64", "2.0"), (DEFAULT_ENVIRONMENT, "1.0")]
)
def test_environment__named_in_the_request__decides_markers_and_files(
    index: Index, name: str, python: str
) -> None:
    index.add("a", "1.0", python=">=3.9")
    index.add("a", "2.0", python="<3.9")
    assert index.versions("a", environment=name) == {"a": python}


# --- dependencies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "followed"),
    [
        ("b", True),
        ('b; python_version >= "3.8"', True),
        ('b; python_version < "3.8"', False),
        ('b; sys_platform == "win32"', False),
        ('b; platform_system == "Linux" and platform_machine == "x86_64"', True),
        ('b; implementation_name == "pypy"', False),
        ('b; extra == "more"', False),
        ('b; extra == "more" or python_version > "3"', True),
        ('b; os_name == "posix"', True),
        ('b; python_full_version >= "3.11.1"', True),
    ],
)
def test_marker__evaluated_for_the_environment(index: Index, requirement: str, followed: bool) -> None:
    index.add("a", "1.0", [requirement], extras=["more"])
    index.add("b", "1.0")
    assert ("b" in index.versions("a")) is followed


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("a", {"a", "base"}),
        ("a[Some.Extra]", {"a", "base", "extra-dep"}),
        ("a[some-extra,other]", {"a", "base", "extra-dep", "other-dep"}),
        ("a[no-such]", {"a", "base"}),  # pip warns and goes on
        ("a[all]", {"a", "base", "extra-dep", "other-dep"}),  # refers to its own extras
    ],
)
def test_extras__normalised_and_followed(index: Index, wanted: str, names: set[str]) -> None:
    index.add(
        "a",
        "1.0",
        [
            "base",
            'extra-dep; extra == "some-extra"',
            'other-dep; extra == "other"',
            'a[some_extra,other]; extra == "all"',
        ],
        extras=["some_extra", "other", "all"],
    )
    for name in ("base", "extra-dep", "other-dep"):
        index.add(name, "1.0")
    assert set(index.versions(wanted)) == names


def test_extras_of_two_parents__one_version_of_the_base(index: Index) -> None:
    index.add("top", "1.0", ["a[x]", "mid"])
    index.add("mid", "1.0", ["a<2"])
    for version in ("1.0", "2.0"):
        index.add("a", version, ['b; extra == "x"'], extras=["x"])
    index.add("b", "1.0")
    assert index.versions("top") == {"top": "1.0", "mid": "1.0", "a": "1.0", "b": "1.0"}


def test_backtracking__newest_does_not_fit__older_taken_with_its_own_dependencies(index: Index) -> None:
    index.add("top", "1.0", ["a", "shared<2"])
    index.add("a", "3.0", ["shared>=2", "only-new"])
    index.add("a", "2.0", ["shared>=2"])
    index.add("a", "1.0", ["shared"])
    index.add("shared", "1.0")
    index.add("shared", "2.0")
    index.add("only-new", "1.0")
    assert index.versions("top") == {"top": "1.0", "a": "1.0", "shared": "1.0"}


def test_broken_metadata__version_passed_over(index: Index) -> None:
    index.add("a", "1.0")
    index.add("a", "2.0", ["this is no requirement"])
    assert index.versions("a") == {"a": "1.0"}


def test_cycle__listed_with_all_its_members(index: Index) -> None:
    index.add("a", "1.0", ["b"])
    index.add("b", "1.0", ["c"])
    index.add("c", "1.0", ["a", "d"])
    index.add("d", "1.0")
    resolution = index.resolve("a")
    assert resolution.cycles == (("pkg:pypi/a@1.0", "pkg:pypi/b@1.0", "pkg:pypi/c@1.0"),)
    assert {node.name: node.depth for node in resolution.nodes} == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_edges__carry_the_requirement_that_made_them(index: Index) -> None:
    index.add("a", "1.0", ["b[x]>=1"])
    index.add("b", "1.0+local", ['c==1.0; extra == "x"'], extras=["x"])
    index.add("c", "1.0")
    edges = {(edge.source, edge.target, edge.requirement) for edge in index.resolve("a").edges}
    assert edges == {
        ("", "pkg:pypi/a@1.0", "a"),
        ("pkg:pypi/a@1.0", "pkg:pypi/b@1.0%2Blocal", "b[x]>=1"),
        ("pkg:pypi/b@1.0%2Blocal", "pkg:pypi/c@1.0", 'c==1.0; extra == "x"'),
    }


# --- options --------------------------------------------------------------------------------------


def test_max_depth__further_nodes_left_out_and_said(index: Index) -> None:
    index.add("a", "1.0", ["b"])
    index.add("b", "1.0", ["c"])
    index.add("c", "1.0")
    resolution = index.resolve("a", max_depth=1)
    assert [node.name for node in resolution.nodes] == ["a", "b"]
    assert resolution.truncated
    assert {edge.target for edge in resolution.edges} == {"pkg:pypi/a@1.0", "pkg:pypi/b@1.0"}


def test_include_optional__all_extras_of_the_roots_only(index: Index) -> None:
    index.add("a", "1.0", ['b; extra == "x"', 'c; extra == "y"'], extras=["x", "y"])
    index.add("b", "1.0", ['d; extra == "x"'], extras=["x"])
    index.add("c", "1.0")
    assert set(index.versions("a", include_optional=True)) == {"a", "b", "c"}


def test_as_of__later_files_and_undated_ones_left_out(index: Index) -> None:
    index.add("a", "1.0", **{"upload-time": "2024-01-01T00:00:00Z"})
    index.add("a", "2.0", **{"upload-time": "2025-01-01T00:00:00.000001Z"})
    index.add("a", "3.0")
    assert index.versions("a", as_of="2025-01-01") == {"a": "1.0"}
    assert index.versions("a", as_of="2025-01-02") == {"a": "2.0"}
    with pytest.raises(ResolutionConflict, match="1 without an upload time"):
        index.versions("a", as_of="2023-01-01")


def test_root_file__that_very_file_whatever_its_page_lists(index: Index) -> None:
    index.add("a", "1.0", ["b", "a[x]"], extras=["x"])
    index.add("b", "1.0", ["a>=1"])
    root = RootFile("a", "f" * 64, "a-1.0-cp39-cp39-win_amd64.whl", "f" * 64, 5)
    index.metadata[root.filename] = index.metadata["a-1.0-py3-none-any.whl"]
    resolution = index.resolve(root=root)
    assert next((node.name, node.sha256[:4]) for node in resolution.nodes) == ("a", "ffff")
    assert {node.name for node in resolution.nodes} == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"environment": "cp27-win32"}, "environment"),
        ({"environment": "cp311-manylinux_2_99_x86_64"}, "environment"),
        ({"max_depth": 0}, "max_depth"),
        ({"max_depth": 201}, "max_depth"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"requirements": ("not a requirement !",)}, "requirements"),
        ({"requirements": ("a @ https://example.com/a.whl",)}, "requirements"),
        ({"requirements": tuple(f"a{n}" for n in range(1001))}, "requirements"),
    ],
)
def test_request__bad_parameter__named(options: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{parameter}: "):
        RESOLVER.request(**options)


def test_request__spellings_and_order__one_key() -> None:
    first = RESOLVER.request(requirements=("Flask>=3,<4", "zope.interface"), as_of="2025-01-01T02:00+02:00")
    second = RESOLVER.request(
        requirements=("zope-interface", "flask <4, >=3", "flask<4,>=3"),
        as_of="2025-01-01",
        environment=DEFAULT_ENVIRONMENT,
    )
    assert first == second
    assert first.key == second.key
    assert first.key != RESOLVER.request(requirements=first.requirements).key


# --- steps, absences, bounds ----------------------------------------------------------------------


def test_steps__whole_levels_are_named_at_once(index: Index) -> None:
    index.add("top", "1.0", [f"a{n}" for n in range(20)])
    for number in range(20):
        index.add(f"a{number}", "1.0")
    index.resolve("top")
    assert index.steps == 5  # page, metadata, 20 pages, 20 metadata, result
    assert len(index.asked) == 42


def test_same_documents__same_bytes(index: Index) -> None:
    index.add("top", "1.0", ["a", "b", "c"])
    for name in "abc":
        index.add(name, "1.0", ["a", "b"])
    first, second = (msgspec.json.encode(index.resolve("top")) for _ in range(2))
    assert first == second


def test_conflict__explained_as_chains(index: Index) -> None:
    index.add("top", "1.0", ["left", "right"])
    index.add("left", "1.0", ["shared<2"])
    index.add("right", "1.0", ["shared>=2"])
    index.add("shared", "1.0")
    index.add("shared", "2.0")
    with pytest.raises(ResolutionConflict) as caught:
        index.resolve("top")
    text = caught.value.message
    assert "request -> top 1.0 -> left 1.0 -> shared<2" in text
    assert "request -> top 1.0 -> right 1.0 -> shared>=2" in text
    assert "installable are 2.0, 1.0" in text


def test_unknown_project__root_404_else_a_conflict_that_names_it(index: Index) -> None:
    index.add("a", "1.0", ["missing"])
    with pytest.raises(ProjectNotFound, match="pypi: missing"):
        index.resolve("missing")
    with pytest.raises(ResolutionConflict, match="missing: no source knows this project"):
        index.resolve("a")


def test_index_unavailable__node_missing_and_incomplete(index: Index) -> None:
    index.add("a", "1.0", ["b", "c"])
    index.add("c", "1.0")
    resolution = index.resolve("a", answers={Document("index", "b"): Unavailable("upstream away")})
    assert not resolution.complete
    assert [node.name for node in resolution.nodes] == ["a", "c"]
    (missing,) = resolution.unresolved
    assert (missing.name, missing.passing, missing.reason) == ("b", True, "upstream away")
    assert (missing.wanted_by, missing.requirement) == ("pkg:pypi/a@1.0", "b")


@pytest.mark.parametrize(("passing", "answer"), [(True, Unavailable("away")), (False, Absent("dynamic"))])
def test_sdist__metadata_not_to_be_had__node_kept_and_said_why(
    index: Index, passing: bool, answer: Any
) -> None:
    index.add("a", "1.0", filename="a-1.0.tar.gz", metadata=answer)
    resolution = index.resolve("a")
    assert [node.filename for node in resolution.nodes] == ["a-1.0.tar.gz"]
    assert resolution.complete is not passing
    assert [(one.name, one.reason, one.passing) for one in resolution.unresolved] == [
        ("a", answer.reason, passing)
    ]


def test_requirement_by_address__unresolved_with_reason(index: Index) -> None:
    index.add("a", "1.0", ["b @ https://example.com/b.whl"])
    resolution = index.resolve("a")
    assert resolution.complete
    assert [(one.name, one.wanted_by) for one in resolution.unresolved] == [("b", "pkg:pypi/a@1.0")]


def test_entangled_requirements__given_up_when_told(index: Index) -> None:
    for version in range(30):
        index.add("a", str(version), [f"c=={version}"])
        index.add("b", str(version), [f"c!={version}"])
        index.add("c", str(version))
    index.add("top", "1", ["a", "b", "c<0"])
    calls = iter(range(100_000))
    request = RESOLVER.request(requirements=("a", "b"))
    known = KnownDocuments()
    with pytest.raises(ResolutionTooLarge):
        while True:
            outcome = RESOLVER.resolve(request, None, known, give_up=lambda: next(calls) > 3)
            for document in outcome.documents:  # type: ignore[union-attr]
                known.documents[document] = index.answer(document)


def test_wide_graph__too_large(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.protocols.pypi.resolver.graph.MAX_NODES", 20)
    index.add("top", "1.0", [f"a{n}" for n in range(30)])
    for number in range(30):
        index.add(f"a{number}", "1.0")
    with pytest.raises(ResolutionTooLarge):
        index.resolve("top")


def test_many_needs__one_step_ends_early(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "_ENOUGH_NEEDS", 4)
    index.add("top", "1.0", [f"a{n}" for n in range(10)])
    for number in range(10):
        index.add(f"a{number}", "1.0")
    assert len(index.resolve("top").nodes) == 11


def test_page__sealed_files__stand_for_what_the_upstream_lists_now(index: Index) -> None:
    filename = index.add("a", "1.0", size=7)
    index.add("a", "2.0")
    page = index.answer(Document("index", "a"))
    kept = SealedFile(filename, "e" * 64, "e" * 64, 5, metadata_sha256="d" * 64)
    gone = SealedFile("a-0.5.tar.gz", "c" * 64, "c" * 64, 5)
    shown = RESOLVER.with_sealed(page, {(one.file_id, one.filename): one for one in (kept, gone)})
    assert [(file.sha256, file.size_bytes) for file in shown.files] == [
        ("e" * 64, 5),
        (page.files[1].sha256, None),
    ]
    assert RESOLVER.with_sealed(page, {("c" * 64, gone.filename): gone}) is page


@pytest.mark.parametrize(
    "body", [b"{}", b"no", b'{"format":2,"identity":"simple/a","source":"","page":{"files":[]}}']
)
def test_page__another_format__refused(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        RESOLVER.prepare_index(body)
