"""The dates and marks that documents of each protocol tell, and how what is too young is found in them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from shared.models import FileName, SealedFile, UpstreamSource
from shared.policy.age import Seen, by_name
from shared.policy.evidence import Evidence, Publisher
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import AgeRule, Rules
from shared.protocols import protocol_named
from shared.protocols.dating import Beside, held_of, judged_of
from shared.protocols.reading.times import unix_seconds

DAY = 86_400.0
NOW = unix_seconds("2026-11-15T00:00:00Z")
OLD, YOUNG = "2026-10-01T00:00:00Z", "2026-11-14T00:00:00Z"
WEEK = Policy((), Rules({"": AgeRule(7 * DAY, NOW - DAY)}))
SHA = "ab" * 32


def read(protocol: str, identity: str, body: bytes, kind: str = "application/json") -> Any:
    documents = protocol_named(protocol).documents
    source = UpstreamSource(1, protocol, "s", "http://packages.example.com/")
    read = documents.read_index(identity, source, url=source.url, content_type=kind, body=body)
    return documents.decode_document(read.body)


def pypi() -> Any:
    def file(version: str, **more: str) -> dict[str, Any]:
        name = f"a_b-{version}-py3-none-any.whl"
        return {
            "filename": name,
            "url": f"http://files.example.com/{name}",
            "hashes": {"sha256": SHA},
            **more,
        }

    files = [file("1.0", **{"upload-time": OLD}), file("2.0", **{"upload-time": YOUNG}), file("3.0")]
    return read("pypi", "simple/a-b", json.dumps({"meta": {}, "name": "a-b", "files": files}).encode())


def npm(shasum: str = "0" * 40) -> Any:
    def version(number: str) -> dict[str, Any]:
        dist = {"tarball": f"http://files.example.com/x-{number}.tgz", "shasum": shasum}
        return {"name": "x", "version": number, "dist": dist}

    versions = {number: version(number) for number in ("1.0.0", "2.0.0", "3.0.0")}
    time = {"1.0.0": OLD, "2.0.0": YOUNG, "3.0.0": 7}
    return read("npm", "packument/x", json.dumps({"name": "x", "versions": versions, "time": time}).encode())


def cargo() -> Any:
    lines = [
        {
            "name": "x",
            "vers": f"{number}.0.0",
            "deps": [],
            "cksum": SHA,
            "features": {},
            "yanked": False,
            **more,
        }
        for number, more in ((1, {"pubtime": OLD}), (2, {"pubtime": YOUNG}), (3, {"pubtime": 7}))
    ]
    return read("cargo", "x", "\n".join(map(json.dumps, lines)).encode(), "text/plain")


def maven() -> Any:
    body = b"""<metadata><groupId>g</groupId><artifactId>a</artifactId><versioning><latest>2.0</latest>
    <release>2.0</release><versions><version>1.0</version><version>2.0</version></versions>
    <lastUpdated>20261114000000</lastUpdated></versioning></metadata>"""
    return read("maven", "metadata/g/a", body, "text/xml")


HELD = {
    "pypi": ["a_b-2.0-py3-none-any.whl", "a_b-3.0-py3-none-any.whl"],
    "npm": ["2.0.0", "3.0.0"],
    "cargo": ["2.0.0", "3.0.0"],
    "maven": ["2.0"],
}
CASES = {"pypi": ("a-b", pypi), "npm": ("x", npm), "cargo": ("x", cargo), "maven": ("g:a", maven)}


@pytest.mark.parametrize("protocol", CASES)
def test_dated__what_the_upstream_says_and_nothing_where_it_says_none(protocol: str) -> None:
    project, make = CASES[protocol]
    known = protocol_named(protocol)
    told = [each.published for each in known.documents.dated(known.grammar.index_identity(project), make())]
    if protocol == "maven":
        assert told[0] < unix_seconds("1971-01-01T00:00:00Z") and told[1] == unix_seconds(YOUNG)
    else:
        assert told == [unix_seconds(OLD), unix_seconds(YOUNG), 0.0]


@pytest.mark.parametrize("protocol", CASES)
def test_held__the_young_and_the_undated_and_not_what_was_stored_before_the_rule(protocol: str) -> None:
    project, make = CASES[protocol]
    known, document = protocol_named(protocol), make()
    verdicts = WEEK.of(protocol, project)
    found = held_of(known, project, document, verdicts, Seen(NOW - DAY), {}, NOW)
    assert [*found.files, *found.versions] == HELD[protocol]
    assert found.due == unix_seconds(YOUNG) + 7 * DAY
    names = by_name(known.documents.dated(known.grammar.index_identity(project), document))
    name = list(names)[1]
    file = {
        "pypi": (SHA, name),
        "npm": ("-", "x-2.0.0.tgz"),
        "cargo": ("2.0.0", "x-2.0.0.crate"),
        "maven": ("2.0", "a-2.0.jar"),
    }[protocol]
    asked = FileName(protocol, project, *file)
    assert known.documents.dated_name(document, asked) == name
    sealed = {file: SealedFile(file[1], file[0], SHA, 1, stored_at=NOW - 2 * DAY)}
    left = held_of(known, project, document, verdicts, Seen(NOW - DAY), sealed, NOW)
    assert [*left.files, *left.versions] == HELD[protocol][1:]


def test_held_beside__what_the_list_of_versions_lacks_is_new() -> None:
    known = protocol_named("npm")
    body = {"name": "x", "version": "9.0.0", "dist": {"tarball": "http://files.example.com/x-9.0.0.tgz"}}
    document = read("npm", "version/x/9.0.0", json.dumps(body).encode())
    verdicts = WEEK.of("npm", "x")
    beside = Beside("version/x/9.0.0", document)
    found = held_of(known, "x", npm(), verdicts, Seen(NOW - DAY), {}, NOW, beside)
    assert list(found.versions) == [*HELD["npm"], "9.0.0"]
    ageless = held_of(known, "x", npm(), verdicts, Seen(NOW - DAY, ageless=True), {}, NOW, beside)
    assert not ageless.versions


FILES: dict[str, tuple[str, str]] = {  # of versions that the lists lack
    "pypi": ("cd" * 32, "a_b-{}-py3-none-any.whl"),
    "npm": ("-", "x-{}.tgz"),
    "cargo": ("{}", "x-{}.crate"),
    "maven": ("{}", "a-{}.jar"),
}


def file_of(protocol: str, number: str) -> FileName:
    file_id, filename = FILES[protocol]
    return FileName(protocol, CASES[protocol][0], file_id.format(number), filename.format(number))


@pytest.mark.parametrize("protocol", CASES)
@pytest.mark.parametrize("is_listed", [True, False])
def test_file_that_the_list_lacks__is_judged_after_what_is_listed_and_stored(
    protocol: str, is_listed: bool
) -> None:
    project, make = CASES[protocol]
    known, document = protocol_named(protocol), make() if is_listed else None
    kept, asked = file_of(protocol, "0.8.0"), file_of(protocol, "9.0.0")
    sealed = [SealedFile(kept.filename, kept.file_id, SHA, 1, stored_at=NOW - 60, licence="MIT")]
    verdicts = Policy(named_rules=[NamedRule("x", install_scripts="new")]).of(protocol, project)
    arguments = (known, project, document, verdicts, Seen(NOW - DAY), sealed, NOW)
    entries, contents = judged_of(*arguments, beside=Beside(file=asked))
    published = {each.version: of.published for each, of, _ in entries if each.unlisted}
    names = known.names
    stored, wanted = (names.canonical_version(each) for each in ("0.8.0", "9.0.0"))
    assert published == {stored: NOW - 60, wanted: NOW}
    assert contents[wanted].change.since == stored
    assert len(entries) == 2 + (len(HELD[protocol]) + 1) * is_listed


@pytest.mark.parametrize("protocol", ["pypi", "npm"])
@pytest.mark.parametrize("is_listed", [True, False])
def test_file_that_the_list_lacks__without_what_its_line_had__is_a_downgrade(
    protocol: str, is_listed: bool
) -> None:
    project, make = CASES[protocol]
    known, document = protocol_named(protocol), make() if is_listed else None
    kept, asked = file_of(protocol, "9.0.0"), file_of(protocol, "9.1.0")
    if protocol == "pypi":
        asked = msgspec.structs.replace(asked, file_id="ef" * 32)
    digest = kept.file_id if protocol == "pypi" else "aa" * 64
    sealed = [
        SealedFile(kept.filename, kept.file_id, SHA, 1, digests={"sha512": "aa" * 64}, stored_at=NOW - 60)
    ]
    evidence = {digest: Evidence("verified", Publisher("GitHub", "o/r"))}
    verdicts = Policy((), Rules(trust="no-downgrade")).of(protocol, project)
    arguments = (known, project, document, verdicts, Seen(NOW - DAY, evidence=evidence), sealed, NOW)
    entries, _ = judged_of(*arguments, beside=Beside(file=asked))
    version = known.names.canonical_version("9.1.0")
    (verdict,) = (found for each, _, found in entries if each.version == version)
    assert verdict is not None and (verdict.allowed, verdict.rule) == (False, "trust")


def test_version_that_only_its_own_document_tells__has_its_traits() -> None:
    known = protocol_named("npm")
    body = {
        "name": "x",
        "version": "9.0.0",
        "dist": {"tarball": "http://files.example.com/x-9.0.0.tgz"},
        "scripts": {"install": "node x"},
    }
    beside = Beside("version/x/9.0.0", read("npm", "version/x/9.0.0", json.dumps(body).encode()))
    verdicts = Policy(named_rules=[NamedRule("no scripts", install_scripts="new")]).of("npm", "x")
    for document in (npm(), None):
        found = held_of(known, "x", document, verdicts, Seen(NOW - DAY), {}, NOW, beside)
        assert list(found.versions) == (["9.0.0"] if document is not None else [])


def test_marks__of_npm_tell_other_bytes() -> None:
    documents = protocol_named("npm").documents
    one, other = (
        by_name(documents.dated("packument/x", npm(shasum), marks=True)) for shasum in ("0" * 40, "1" * 40)
    )
    assert one["1.0.0"].mark != other["1.0.0"].mark


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-15T00:00:00Z", NOW),
        ("2026-11-15T00:00:00", NOW),
        ("2026-11-15T01:00:00.000+01:00", NOW),
        ("2026-11-15", NOW),
        ("1950-01-01T00:00:00Z", 0.0),
        ("0000-00-00", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        (1795000000, 0.0),
        (None, 0.0),
        ({}, 0.0),
        ("9" * 400, 0.0),
    ],
)
def test_unix_seconds__of_anything(text: Any, seconds: float) -> None:
    assert unix_seconds(text) == seconds
