"""Dependencies out of package.json: kinds, aliases, what is kept opaque, and hostile tarballs."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from shared.models import Dependency, Extraction
from tests.shared.protocols.npm.support import NPM
from tests.support.npm_builders import build_tarball


def _extract(data: bytes, filename: str = "demo-1.0.0.tgz") -> Extraction:
    extraction, raw = NPM.archive.extract(filename, io.BytesIO(data), len(data))
    assert raw is None
    return extraction


def _of(**manifest: Any) -> Extraction:
    return _extract(build_tarball("demo", "1.0.0", manifest=manifest))


def _only(extraction: Extraction) -> Dependency:
    assert extraction.state == "extracted", extraction.reason
    assert len(extraction.dependencies) == 1
    return extraction.dependencies[0]


def test_extract__all_kinds__in_order_with_optional_marked() -> None:
    found = _of(
        dependencies={"a": "^1.0.0", "both": "1", "inside": "2"},
        optionalDependencies={"both": "2"},
        peerDependencies={"react": ">=18", "vue": "3"},
        peerDependenciesMeta={"vue": {"optional": True}},
        devDependencies={"never": "1"},
        bundleDependencies=["inside"],
    )
    assert found.state == "extracted"
    assert (found.name, found.version) == ("demo", "1.0.0")
    assert [(d.position, d.name, d.specifier, d.kind, d.optional) for d in found.dependencies] == [
        (0, "a", "^1.0.0", "runtime", False),
        (1, "both", "2", "optional", True),
        (2, "inside", "2", "bundled", False),
        (3, "react", ">=18", "peer", False),
        (4, "vue", "3", "peer", True),
    ]


@pytest.mark.parametrize(
    ("wanted", "name", "specifier"),
    [
        ("npm:other@^1", "other", "^1"),
        ("npm:@s/other@1.x || 2", "@s/other", "1.x || 2"),
        ("npm:other", "other", "*"),
        ("^1.2.3 || >=2 <3", "x", "^1.2.3 || >=2 <3"),
        ("latest", "x", "latest"),
        ("", "x", ""),
        ("*", "x", "*"),
    ],
)
def test_extract__range_or_alias__leads_to_its_package(wanted: str, name: str, specifier: str) -> None:
    found = _only(_of(dependencies={"x": wanted}))
    assert (found.name, found.specifier, found.requirement) == (name, specifier, f"x@{wanted}")


@pytest.mark.parametrize(
    "wanted",
    [
        "git+ssh://git@host.example.com/a/b.git#v1",
        "git://host.example.com/a.git",
        "user/repo",
        "user/repo#semver:^1",
        "file:../x",
        "link:./x",
        "workspace:*",
        "https://host.example.com/x.tgz",
        "../x",
        "./x",
        "/abs/x",
        "~/x",
        "git@host.example.com:a/b.git",
    ],
)
def test_extract__git_file_or_url__kept_opaque(wanted: str) -> None:
    found = _only(_of(dependencies={"x": wanted}))
    assert (found.name, found.specifier, found.requirement) == ("x", "", f"x@{wanted}")


@pytest.mark.parametrize("folder", ["package", "demo", "node_modules-x"])
def test_extract__any_top_folder(folder: str) -> None:
    assert _extract(build_tarball("demo", "1.0.0", folder=folder)).state == "extracted"


@pytest.mark.parametrize(
    ("name", "version", "filename"),
    [("@s/n", "1.0.0", "n-1.0.0.tgz"), ("n", "v1.0.0", "n-1.0.0.tgz"), ("n", "1.0.0+b", "n-1.0.0.tgz")],
)
def test_extract__file_name_as_the_registry_makes_it__believed(
    name: str, version: str, filename: str
) -> None:
    assert _extract(build_tarball(name, version), filename).state == "extracted"


@pytest.mark.parametrize(
    "manifest",
    [
        {"name": 5},
        {"version": None},
        {"version": "2.0.0"},
        {"name": "__proto__"},
        {"dependencies": {"x": 5}},
        {"dependencies": {"x": "a\x00b"}},
        {"dependencies": {"x": "y" * 20_000}},
        {"dependencies": {f"p{n}": "1" for n in range(10_001)}},
    ],
)
def test_extract__manifest_that_cannot_be_believed__unextractable(manifest: dict[str, Any]) -> None:
    found = _of(**manifest)
    assert (found.state, found.dependencies) == ("unextractable", ())
    assert found.reason


@pytest.mark.parametrize("odd", [[], "x", None, 5])
def test_extract__dependencies_of_a_wrong_shape__none(odd: Any) -> None:
    assert _of(dependencies=odd, peerDependenciesMeta=odd, bundleDependencies=odd).dependencies == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        gzip.compress(b""),
        gzip.compress(b"x" * 2000),
        build_tarball("demo", "1.0.0")[:80],
    ],
    ids=["empty", "no archive", "of nothing", "of no members", "cut"],
)
def test_extract__broken_archive__unextractable_or_unknown(data: bytes) -> None:
    assert _extract(data).state in ("unextractable", "unknown")


def test_extract__nested_manifest_only__unknown() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/node_modules/x/package.json")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"{}"))
    assert _extract(packed.getvalue()).state == "unknown"


def test_extract__link_named_package_json__not_followed() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        link = tarfile.TarInfo("package/package.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert _extract(packed.getvalue()).state == "unknown"


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"name":NaN}'])
def test_extract__package_json_that_is_none__unextractable(text: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/package.json")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    assert _extract(packed.getvalue()).state == "unextractable"


def test_extract__byte_order_mark__read() -> None:
    text = b"\xef\xbb\xbf" + json.dumps({"name": "demo", "version": "1.0.0"}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/package.json")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    assert _extract(packed.getvalue()).state == "extracted"
