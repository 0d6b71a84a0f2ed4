"""The versions of a package, of every protocol: dates, what is withdrawn, stored, held back, gone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from services.gateway.api.versions import Files, _by_version, _newest_first, _version
from shared.judging.listings import Listing
from shared.judging.verdicts import Judged, judge
from shared.models import SealedFile, UpstreamSource
from shared.policy.age import Seen
from shared.policy.policy import Policy
from shared.policy.rules import AgeRule, Block, Rules
from shared.protocols import PROTOCOLS, protocol_named
from shared.protocols.reading.times import unix_seconds
from shared.redis import clock

FIRST, SECOND = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
SHA, OTHER = "ab" * 32, "cd" * 32


def _pypi() -> tuple[str, bytes]:
    def file(version: str, at: str, **more: Any) -> dict[str, Any]:
        name = f"a_b-{version}-py3-none-any.whl"
        url = f"http://files.example.com/{name}"
        return {
            "filename": name,
            "url": url,
            "hashes": {"sha256": SHA},
            "size": 1234,
            "upload-time": at,
            **more,
        }

    files = [file("1.0.0", FIRST), file("2.0", SECOND, yanked="<b>broken</b>")]
    meta = {"api-version": "1.1"}
    return "simple/a-b", json.dumps(
        {"meta": meta, "name": "a-b", "versions": ["1.0.0", "2.0"], "files": files}
    ).encode()


def _npm() -> tuple[str, bytes]:
    def version(number: str, **more: Any) -> dict[str, Any]:
        dist = {"tarball": f"http://files.example.com/x-{number}.tgz", "shasum": "0" * 40}
        return {"name": "x", "version": number, "dist": dist, **more}

    versions = {"1.0.0": version("1.0.0"), "2.0.0": version("2.0.0", deprecated="<b>broken</b>")}
    tags = {"latest": "1.0.0", "next": "2.0.0", "gone": "9.0.0", "odd": 1}
    document = {
        "name": "x",
        "dist-tags": tags,
        "versions": versions,
        "time": {"1.0.0": FIRST, "2.0.0": SECOND},
    }
    return "packument/x", json.dumps(document).encode()


def _cargo() -> tuple[str, bytes]:
    lines = [
        {
            "name": "x",
            "vers": number,
            "deps": [],
            "cksum": SHA,
            "features": {},
            "yanked": yanked,
            "pubtime": at,
        }
        for number, yanked, at in (("1.0.0", False, FIRST), ("2.0.0", True, SECOND))
    ]
    return "x", "\n".join(map(json.dumps, lines)).encode()


def _maven() -> tuple[str, bytes]:
    return "metadata/g/a", (
        b"<metadata><groupId>g</groupId><artifactId>a</artifactId><versioning><latest>2.0</latest>"
        b"<release>2.0</release><versions><version>1.0</version><version>2.0</version></versions>"
        b"<lastUpdated>20250101000000</lastUpdated></versioning></metadata>"
    )


# Project, document, its versions newest first, the file of the older one (id, name), what the newer is.
CASES: dict[str, tuple[str, Any, list[str], tuple[str, str], tuple[str, str]]] = {
    "pypi": (
        "a-b", _pypi, ["2.0", "1.0.0"], (SHA, "a_b-1.0.0-py3-none-any.whl"), ("yanked", "<b>broken</b>"),
    ),
    "npm": ("x", _npm, ["2.0.0", "1.0.0"], ("-", "x-1.0.0.tgz"), ("deprecated", "<b>broken</b>")),
    "cargo": ("x", _cargo, ["2.0.0", "1.0.0"], ("1.0.0", "x-1.0.0.crate"), ("yanked", "")),
    "maven": ("g:a", _maven, ["2.0", "1.0"], ("1.0", "a-1.0.jar"), ("", "")),
}  # fmt: skip
GONE = {
    "pypi": (OTHER, "a_b-0.9-py3-none-any.whl", "0.9"),
    "npm": ("-", "x-0.9.0.tgz", "0.9.0"),
    "cargo": ("0.9.0", "x-0.9.0.crate", "0.9.0"),
}


def by_version(
    protocol: str, sealed: Sequence[SealedFile] = (), policy: Policy | None = None, *, listed: bool = True
) -> tuple[dict[str, Files], Judged]:
    project, make, *_ = CASES[protocol]
    known = protocol_named(protocol)
    if not listed:
        judged = judge(known, Listing(project, b"", Seen(1.0), list(sealed)), Policy(()), clock.now())
        return _by_version(known, judged), judged
    identity, body = make()
    source = UpstreamSource(1, protocol, "s", "http://packages.example.com/")
    kinds = {"cargo": "text/plain", "maven": "text/xml"}
    kind = kinds.get(protocol, "application/json")
    document = known.documents.read_index(identity, source, url=source.url, content_type=kind, body=body)
    listing = Listing(project, document.body, Seen(1.0), list(sealed))
    judged = judge(known, listing, policy or Policy(()), clock.now())
    return _by_version(known, judged), judged


def _newest(protocol: str, found: dict[str, Files]) -> list[str]:
    return _newest_first(protocol_named(protocol), found)


def test_cases__are_of_every_protocol() -> None:
    assert set(CASES) == {each.name for each in PROTOCOLS}


@pytest.mark.parametrize("protocol", CASES)
def test_versions__newest_first_with_dates_and_what_is_withdrawn(protocol: str) -> None:
    _, _, versions, _, withdrawn = CASES[protocol]
    found, judged = by_version(protocol)
    shown = [_version(each, found[each], judged) for each in _newest(protocol, found)]
    assert [each.version for each in shown] == versions
    assert (shown[0].withdrawn, shown[0].reason) == withdrawn
    assert shown[0].published == unix_seconds(SECOND)
    assert shown[1].published == (None if protocol == "maven" else unix_seconds(FIRST))
    assert [each.stored for each in shown] == [0, 0]
    assert all(each.allowed and each.listed for each in shown)


@pytest.mark.parametrize("protocol", CASES)
def test_versions__a_stored_file__has_its_digest_and_size(protocol: str) -> None:
    file_id, filename = CASES[protocol][3]
    found, judged = by_version(protocol, [SealedFile(filename, file_id, SHA, 77, stored_at=5.0)])
    version = _newest(protocol, found)[1]
    older = _version(version, found[version], judged)
    assert (older.files, older.stored, older.size_bytes) == (1, 1, 77)
    files = found[_newest(protocol, found)[1]]
    assert [(each.name, each.sha256) for each, _ in files] == [(filename, SHA)]


@pytest.mark.parametrize("protocol", GONE)
def test_versions__stored_and_no_longer_listed__are_told_so(protocol: str) -> None:
    file_id, filename, version = GONE[protocol]
    found, judged = by_version(protocol, [SealedFile(filename, file_id, OTHER, 7, stored_at=5.0)])
    oldest = _version(_newest(protocol, found)[-1], found[_newest(protocol, found)[-1]], judged)
    assert (oldest.version, oldest.listed, oldest.stored) == (version, False, 1)


@pytest.mark.parametrize("protocol", CASES)
def test_versions__blocked_and_too_young__are_told_with_rule_and_reason(protocol: str) -> None:
    project, _, versions, *_ = CASES[protocol]
    known = protocol_named(protocol)
    version = known.names.canonical_version(versions[1])
    block = Block(1, "it steals", protocol, project, version)
    year = 10 * 365 * 86_400.0
    rules = Rules({"": AgeRule(year, clock.now())})
    found, judged = by_version(protocol, policy=Policy((block,), rules))
    newer, older = (_version(each, found[each], judged) for each in _newest(protocol, found))
    assert (older.allowed, older.rule, older.why) == (False, "block", "it steals")
    assert (newer.allowed, newer.rule) == (False, "minimum_age")
    assert newer.until is not None and newer.until > clock.now()


# Stored files (id, name), and the versions that they are of as their registries spell them, newest first.
STORED: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "pypi": (
        [(SHA, "a_b-1.9.0-py3-none-any.whl"), (OTHER, "a_b-1.10.0.tar.gz"), (SHA, "a_b-1.10.0.tar.gz.asc")],
        ["1.10.0", "1.9.0"],
    ),
    "npm": ([("-", "x-1.9.0.tgz"), ("-", "x-1.10.0.tgz"), ("-", "x-1.10.0-rc.1.tgz")],
            ["1.10.0", "1.10.0-rc.1", "1.9.0"]),
    "cargo": ([("1.9.0", "x-1.9.0.crate"), ("1.10.0+zlib", "x-1.10.0+zlib.crate")], ["1.10.0+zlib", "1.9.0"]),
    "maven": ([("1.9", "a-1.9.pom"), ("1.9", "a-1.9.jar"), ("1.10", "a-1.10.jar")], ["1.10", "1.9"]),
}  # fmt: skip


@pytest.mark.parametrize("protocol", CASES)
def test_versions__without_a_list__are_those_of_stored_files_in_their_own_order(protocol: str) -> None:
    files, versions = STORED[protocol]
    sealed = [SealedFile(name, id_, SHA, 7, stored_at=5.0) for id_, name in files]
    found, judged = by_version(protocol, sealed, listed=False)
    shown = [_version(each, found[each], judged) for each in _newest(protocol, found)]
    assert [each.version for each in shown] == versions
    assert sum(each.stored for each in shown) == len(files)
    assert not any(each.listed for each in shown) and all(each.allowed for each in shown)


TAGS = {
    "pypi": [[], []],
    "npm": [["next"], ["latest"]],
    "cargo": [[], []],
    "maven": [["latest", "release"], []],
}


@pytest.mark.parametrize("protocol", CASES)
def test_versions__have_the_tags_that_their_list_tells(protocol: str) -> None:
    found, judged = by_version(protocol)
    shown = [_version(each, found[each], judged) for each in _newest(protocol, found)]
    assert [each.tags for each in shown] == TAGS[protocol]
