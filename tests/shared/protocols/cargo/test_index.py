"""Index files: kept byte for byte, what cannot be served dropped and counted, blocks taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import UpstreamInvalid
from shared.models import FileName, UpstreamSource
from shared.policy.policy import Policy
from shared.policy.project import ProjectVerdicts
from shared.policy.rules import Block
from shared.protocols.cargo.entries import BadEntry, published_at, read_entry
from shared.protocols.cargo.index import (
    CargoDocuments,
    IndexFile,
    load_index_file,
    read_index_file,
    without_blocked,
)
from shared.protocols.cargo.names import canonical_version
from shared.protocols.cargo.upstream import Config, read_config

GOLDEN = (Path(__file__).parent / "golden" / "example-crate.index").read_bytes()
VERSIONS = ["0.1.0", "0.2.0", "1.0.0+build.5", "2.0.0"]


def versions(file: IndexFile) -> list[str]:
    return [line.version for line in file.lines]


def line(version: str = "1.0.0", name: str = "example-crate", cksum: str = "a" * 64, more: str = "") -> str:
    return f'{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}}{more}}}'


def test_file__is_kept_byte_for_byte_with_lines_of_unknown_formats() -> None:
    file = read_index_file("example-crate", GOLDEN)
    assert file.body == GOLDEN
    assert versions(file) == VERSIONS
    assert file.dropped == ()
    assert [each.format for each in file.lines] == [1, 1, 2, 7]
    assert [each.yanked for each in file.lines] == [False, True, False, False]
    assert b"\n".join(each.raw for each in file.lines) + b"\n" == GOLDEN
    assert load_index_file(file.body).lines == file.lines


def test_file__may_end_without_a_line_end_and_have_empty_lines() -> None:
    body = GOLDEN.replace(b"\n", b"\n\n").rstrip()
    file = read_index_file("example-crate", body)
    assert file.body == body
    assert versions(file) == VERSIONS


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "not a line of an index"),
        ("<html>", "not a line of an index"),
        ('{"name":"example-crate","vers":"1.0.0"}', "not a line of an index"),
        ('{"name":"example-crate","vers":1,"cksum":""}', "not a line of an index"),
        ("[" * 100_000, "not a line of an index"),
        (line(name="example_crate"), "of another crate"),
        (line(name="../x"), "of another crate"),
        (line(version="1.0"), "not a version"),
        (line(version="v1.0.0"), "not a version"),
        (line(cksum="a" * 63), "cksum is no SHA256"),
        (line(cksum="g" * 64), "cksum is no SHA256"),
        (line(cksum="a" * 65), "cksum is no SHA256"),
    ],
)
def test_line_that_cannot_be_served__is_dropped_with_its_reason_and_the_crate_stays(
    bad: str, reason: str
) -> None:
    first, rest = GOLDEN.split(b"\n", 1)
    file = read_index_file("example-crate", first + b"\n" + bad.encode() + b"\n" + rest)
    assert file.body == GOLDEN
    assert [each.partition(":")[0] for each in file.dropped] == [reason]


@pytest.mark.parametrize("body", [b"", b"\n\n", b"<html>login</html>", b'{"name":"other"}', b"null", b"[]"])
def test_file_without_a_readable_line__is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        read_index_file("example-crate", body)


def test_file_without_end__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.protocols.cargo.index.MAX_LINES", 3)
    with pytest.raises(UpstreamInvalid, match="more than 3 versions"):
        read_index_file("example-crate", GOLDEN)


def test_cksum__is_of_exactly_that_version() -> None:
    file = read_index_file("Example-Crate", GOLDEN)
    found = file.find("1.0.0+build.5")
    assert found is not None
    assert found.cksum == "3" * 64
    assert found.name == "Example-Crate"
    yanked = file.find("0.2.0")
    assert yanked is not None
    assert yanked.yanked
    assert file.find("1.0.0") is None


def test_version_told_twice__counts_as_told_last() -> None:
    text = f"{line(cksum='a' * 64)}\n{line(cksum='B' * 64)}\n"
    found = read_index_file("example-crate", text.encode()).find("1.0.0")
    assert found is not None
    assert found.cksum == "b" * 64


# --- blocks ---------------------------------------------------------------------------------------


def blocks(*versions: str, sha256: str = "") -> ProjectVerdicts:
    found = [Block(1, "why", "cargo", "example-crate", canonical_version(each)) for each in versions]
    if sha256:
        found.append(Block(2, "malware", sha256=sha256))
    return Policy(found).of("cargo", "example-crate")


def test_without_blocked__leaves_out_the_lines_of_versions_and_bytes_and_nothing_else() -> None:
    lines = GOLDEN.splitlines(keepends=True)
    assert without_blocked(GOLDEN, blocks("0.2.0")) == lines[0] + lines[2] + lines[3]
    assert without_blocked(GOLDEN, blocks(sha256="4" * 64)) == b"".join(lines[:3])
    assert without_blocked(GOLDEN, blocks("1.0.0", sha256="1" * 64)) == lines[1] + lines[3]


def test_without_blocked__are_the_same_bytes_where_nothing_is_blocked() -> None:
    assert without_blocked(GOLDEN, ProjectVerdicts()) is GOLDEN
    assert without_blocked(GOLDEN, blocks("9.9.9", sha256="f" * 64)) is GOLDEN


def test_block_of_a_version__holds_whatever_its_build_metadata() -> None:
    assert "1.0.0+build.5" not in versions(load_index_file(without_blocked(GOLDEN, blocks("1.0.0"))))
    assert "1.0.0+build.5" not in versions(load_index_file(without_blocked(GOLDEN, blocks("1.0.0+other"))))


def test_all_blocked__leaves_an_empty_file() -> None:
    assert without_blocked(GOLDEN, blocks(*VERSIONS)) == b""
    assert load_index_file(b"").lines == ()


# --- one line read whole --------------------------------------------------------------------------


def test_entry__tells_dependencies_and_features_of_both_tables() -> None:
    raw = read_index_file("example-crate", GOLDEN).lines[2].raw
    entry = read_entry(raw)
    assert (entry.links, entry.rust_version, entry.v) == ("example", "1.70", 2)
    assert published_at(entry) == 1714979289.0
    assert entry.all_features == {"full": ("dep:log", "log?/serde")}
    (dependency,) = entry.deps
    assert (dependency.name, dependency.package, dependency.kind) == ("log", "real-log", "build")
    assert (dependency.target, dependency.registry) == ("cfg(unix)", "https://other.example.com/index")
    assert not dependency.default_features


def test_features__of_both_tables_are_joined_by_name() -> None:
    entry = read_entry(line(more=',"features2":{"a":["y"],"b":[]}').replace("{}", '{"a":["x"]}', 1).encode())
    assert entry.all_features == {"a": ("x", "y"), "b": ()}


def test_dependency__told_in_few_words__is_required_with_its_default_features() -> None:
    (dependency,) = read_entry(line(more=',"deps":[{"name":"a","req":"1"}]').encode()).deps
    assert dependency.default_features
    assert not dependency.optional
    assert (dependency.kind, dependency.registry, dependency.package) == (None, None, None)


@pytest.mark.parametrize(
    "more",
    [
        ',"v":"2"',
        ',"v":-1',
        ',"links":3',
        ',"rust_version":"1.70-nightly"',
        ',"rust_version":"^1.70"',
        ',"pubtime":"yesterday"',
        ',"pubtime":"2024-13-01T00:00:00Z"',
        ',"features2":[]',
        ',"deps":[{"name":"a"}]',
        ',"rust_version":"1.70.0.1"',
        ',"deps":[{"name":"a","req":"not a requirement"}]',
        ',"deps":[{"name":"a","req":"1","features":null}]',
        ',"deps":[{"name":"a","req":"1","kind":"dev","optional":true}]',
    ],
)
def test_entry_that_cargo_refuses__is_served_and_not_resolved(more: str) -> None:
    raw = line(more=more).encode()
    if more.startswith(',"v"'):  # the form of the line itself
        with pytest.raises(BadEntry):
            read_entry(raw)
        return
    assert versions(read_index_file("example-crate", raw)) == ["1.0.0"]
    with pytest.raises(BadEntry):
        read_entry(raw)


def test_block_of_stored_bytes__holds_whatever_the_upstream_tells_of_them_now() -> None:
    blocked = blocks(sha256="f" * 64)
    assert "0.1.0" not in versions(load_index_file(without_blocked(GOLDEN, blocked, {"0.1.0": "f" * 64})))


# --- documents ------------------------------------------------------------------------------------

DOCUMENTS = CargoDocuments()
SOURCE = UpstreamSource(
    1, "cargo", "public", "https://index.example.com/", document=Config("https://x/{crate}")
)


def named(version: str, filename: str) -> FileName:
    return FileName("cargo", "example-crate", version, filename)


def test_find_file__is_of_exactly_this_version_and_lies_where_the_source_says() -> None:
    document = load_index_file(line(name="Example-Crate", version="1.0.0+b").encode())
    entry = DOCUMENTS.find_file(document, named("1.0.0+b", "example-crate-1.0.0+b.crate"), SOURCE)
    assert entry is not None
    assert (entry.url, entry.hashes) == ("https://x/Example-Crate", {"sha256": "a" * 64})
    for file_id, filename in (("1.0.0", "example-crate-1.0.0.crate"), ("1.0.0+b", "other-1.0.0+b.crate")):
        assert DOCUMENTS.find_file(document, named(file_id, filename), SOURCE) is None
    unknown = DOCUMENTS.find_file(document, named("1.0.0+b", "example-crate-1.0.0+b.crate"))
    assert unknown is not None and unknown.url == ""


def test_lists_files__of_a_file_with_lines_alone() -> None:
    assert DOCUMENTS.lists_files("index/example-crate", load_index_file(GOLDEN))
    assert not DOCUMENTS.lists_files("index/example-crate", load_index_file(b""))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"dl": 1}', b'{"dl": ""}', b"[" * 100_000])
def test_config__that_is_none__is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        read_config(body)
