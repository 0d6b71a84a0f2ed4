"""What a feed has becomes a snapshot, or the reason why it does not count: bad feeds are kept out whole."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from services.fetcher.feeds import build as building
from services.fetcher.feeds import files
from services.fetcher.feeds.build import Made, Order, build
from services.fetcher.feeds.files import MOST_DOCUMENT_BYTES, signature
from shared.access.feeds import unpack
from shared.errors.passing import StoreUnavailable
from shared.policy.advisories import Advisory, Snapshot, Span
from shared.protocols import PROTOCOLS
from tests.firewall.feeds import osv, span


def malware(number: int, **said: Any) -> dict[str, Any]:
    return osv(f"MAL-2026-{number}", "npm", f"evil-{number}", **(said or {"ranges": [span()]}))


def folder_of(path: Path, *documents: dict[str, Any]) -> Path:
    path.mkdir(exist_ok=True)
    for each in documents:
        (path / f"{each['id'].replace('/', '_')}.json").write_text(json.dumps(each))
    return path


class Maker:
    """Builds feeds one after the other, each over the one before."""

    def __init__(self, folder: Path) -> None:
        self.target, self.previous, self.now = folder / "target", folder / "previous", 100.0
        self.snapshot: Snapshot | None = None

    def __call__(self, feed: Path, **more: Any) -> Made:
        old = "" if self.snapshot is None else str(self.previous)
        made = build(Order(str(feed), old, str(self.target), self.now, **more))
        if not made.refused:
            data = unpack(self.target.read_bytes(), made.digest)
            self.snapshot = Snapshot(data)
            self.previous.write_bytes(data)
        return made


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def test_folder__written_by_hand__small_letters_and_spaces_do_no_harm(make: Maker, tmp_path: Path) -> None:
    make(folder_of(tmp_path / "feed", osv("mal-1", "npm", "evil", versions=[" 1.0.0", "2.0.0 "])))
    assert make.snapshot is not None
    (found,) = make.snapshot.of("npm", "evil")
    assert found.is_malware and found.versions == ("1.0.0", "2.0.0")


def test_folder__a_pipe_in_it__is_passed_over(make: Maker, tmp_path: Path) -> None:
    feed = folder_of(tmp_path / "feed", malware(1))
    os.mkfifo(feed / "x.json")
    assert signature(feed)
    made = make(feed)
    assert (made.refused, made.count) == ("", 1)


def test_feed_that_is_a_pipe__is_refused(make: Maker, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "all.json")
    assert "neither a file nor a folder" in make(tmp_path / "all.json").refused


def test_folder__two_documents_of_one_id__what_either_says_is_affected(make: Maker, tmp_path: Path) -> None:
    first = folder_of(tmp_path / "feed", osv("MAL-1", "npm", "evil", versions=["1.0.0", "2.0.0"]))
    folder_of(first / "other", osv("MAL-1", "npm", "evil", versions=["1.0.0", "3.0.0"]))
    made = make(first)
    assert (made.refused, made.count) == ("", 1)
    assert make.snapshot is not None
    (found,) = make.snapshot.of("npm", "evil")
    assert found.versions == ("1.0.0", "2.0.0", "3.0.0")


def test_folder__advisories_by_project_and_what_is_of_other_ecosystems_is_left_out(
    make: Maker, tmp_path: Path
) -> None:
    feed = folder_of(
        tmp_path / "feed",
        malware(1),
        osv("MAL-2", "PyPI", "Evil_Thing", versions=["1.0.0"]),
        osv("MAL-3", "Crates-IO", "my_crate", ranges=[span(kind="SEMVER")]),
        osv("GHSA-4", "Maven", "org.x:y", ranges=[span("1.0", fixed="2.0")]),
        osv("GO-5", "Go", "example.org/x", ranges=[span()]),
        malware(6, ranges=[span()]) | {"withdrawn": "2026-01-01T00:00:00Z"},
    )
    made = make(feed)
    assert (made.refused, made.count, made.left_out) == ("", 4, 2)
    assert make.snapshot is not None
    assert make.snapshot.of("pypi", "evil-thing") == (
        Advisory("MAL-2", True, seen_at=100.0, versions=("1",)),
    )
    assert make.snapshot.of("cargo", "my-crate")[0].is_about_all
    assert make.snapshot.of("maven", "org.x:y")[0].spans == (Span("1.0", fixed="2.0"),)
    assert set(made.changed or ()) == {
        ("npm", "evil-1"), ("pypi", "evil-thing"), ("cargo", "my-crate"), ("maven", "org.x:y")
    }  # fmt: skip


def test_next__tells_what_has_changed_and_each_is_known_since_it_came(make: Maker, tmp_path: Path) -> None:
    feed = folder_of(tmp_path / "feed", *(malware(n) for n in range(10)))
    first, before = make(feed), signature(feed)
    make.now = 200.0
    folder_of(feed, malware(3, versions=["1.0.0"]), malware(11))
    assert signature(feed) != before
    second = make(feed)
    assert first.digest != second.digest
    assert set(second.changed or ()) == {("npm", "evil-3"), ("npm", "evil-11")}
    assert make.snapshot is not None
    assert [make.snapshot.of("npm", f"evil-{n}")[0].seen_at for n in (3, 11)] == [100.0, 200.0]
    assert make(feed).digest == second.digest


def test_shrunk_by_a_fifth__is_kept_out_unless_it_may(make: Maker, tmp_path: Path) -> None:
    feed = folder_of(tmp_path / "feed", *(malware(n) for n in range(20)))
    make(feed)
    for n in range(4):
        (feed / f"MAL-2026-{n}.json").unlink()
    assert make(feed).count == 16
    for n in range(4, 8):
        (feed / f"MAL-2026-{n}.json").unlink()
    assert "shrunk from 16 advisories to 12" in make(feed).refused
    assert make(feed, may_shrink=True).count == 12


def zip_of(path: Path, *documents: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for each in documents:
            packed.writestr(f"{each['id']}.json", json.dumps(each))
    return path


def test_bad_feeds__are_kept_out_with_the_reason(make: Maker, tmp_path: Path) -> None:
    good = zip_of(tmp_path / "good.zip", *(malware(n) for n in range(50)))
    assert make(good).count == 50
    cut = tmp_path / "cut.zip"
    cut.write_bytes(good.read_bytes()[:-200])
    flipped = tmp_path / "flipped.zip"
    body = bytearray(good.read_bytes())
    body[60] ^= 0xFF
    flipped.write_bytes(body)
    page = tmp_path / "page.zip"
    page.write_text("<html>log in</html>")
    empty = tmp_path / "empty"
    empty.mkdir()
    others = folder_of(tmp_path / "others", osv("GO-1", "Go", "x", ranges=[span()]))
    broken = folder_of(tmp_path / "broken", *(malware(n) for n in range(50)))
    (broken / "x.json").write_text("{")
    reasons = {
        cut: "no zip",
        flipped: "no zip",
        page: "no zip",
        empty: "no advisory",
        others: "no advisory",
        broken: "1 of its 51 documents",
        tmp_path / "missing": "No such file",
        tmp_path / "missing.zip": "no zip",
    }
    for feed, reason in reasons.items():
        made = make(feed)
        assert reason in made.refused, (feed, made)
        assert made == Made(made.refused)


def test_checksum_that_was_told__differs__is_kept_out(make: Maker, tmp_path: Path) -> None:
    feed = zip_of(tmp_path / "all.zip", malware(1))
    assert "another checksum" in make(feed, sha256="00" * 32).refused


def test_one_damaged_document_of_many__is_left_out(make: Maker, tmp_path: Path) -> None:
    feed = folder_of(tmp_path / "feed", *(malware(n) for n in range(150)))
    (feed / "broken.json").write_text('{"id": 7}')
    made = make(feed)
    assert (made.refused, made.count, made.left_out) == ("", 150, 1)


def test_zip_bomb__reads_no_more_of_a_document_than_one_may_have(make: Maker, tmp_path: Path) -> None:
    feed = zip_of(tmp_path / "all.zip", *(malware(n) for n in range(150)))
    with zipfile.ZipFile(feed, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb.json", b" " * (4 * MOST_DOCUMENT_BYTES))
    made = make(feed)
    assert (made.refused, made.count, made.left_out) == ("", 150, 1)


def test_too_many_bytes_together__is_kept_out(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = folder_of(tmp_path / "feed", *(malware(n) for n in range(50)))
    monkeypatch.setattr(files, "MOST_BYTES", 2000)
    assert make(feed).refused == "it is too large"
    monkeypatch.undo()
    monkeypatch.setattr(files, "MOST_DOCUMENTS", 49)
    assert make(feed).refused == "it is too large"
    monkeypatch.undo()
    monkeypatch.setattr(building, "MOST_BYTES", 1000)
    assert "more than 1000" in make(feed).refused


@pytest.mark.parametrize(
    "document",
    [
        {"id": "MAL-\n1"},
        {"id": "x" * 200},
        {"id": ""},
        {"id": "MAL-1", "affected": 3},
        {"id": "MAL-1", "affected": [{"package": {"name": ["x"]}}]},
        [],
        None,
    ],
)
def test_hostile_document__is_damaged(make: Maker, tmp_path: Path, document: Any) -> None:
    feed = folder_of(tmp_path / "feed", malware(1))
    (feed / "x.json").write_text(json.dumps(document))
    refused = make(feed).refused
    assert refused.startswith("1 of its 2 documents are damaged; x.json: "), refused
    assert refused.isprintable()


def test_damaged_document_of_hostile_name__is_named_so_that_it_can_be_shown(
    make: Maker, tmp_path: Path
) -> None:
    feed = zip_of(tmp_path / "all.zip", malware(1))
    with zipfile.ZipFile(feed, "a") as packed:
        packed.writestr("a\x1b[2J" + "b" * 1000 + ".json", b"{}")
    refused = make(feed).refused
    assert "documents are damaged; a\\x1b[2Jbbb" in refused and len(refused) < 400


MANY = [span(f"{n}.0.1", fixed=f"{n}.1.1") for n in range(1, 400)]


@pytest.mark.parametrize("protocol", [each.names.osv_ecosystem for each in PROTOCOLS])
@pytest.mark.parametrize(
    ("id_", "ranges", "spans"),
    [
        ("MAL-1", MANY, (Span(),)),
        ("GHSA-1", MANY, (Span("1.0.1", fixed="399.1.1"),)),
        ("GHSA-1", [*MANY, span("400.0.1")], (Span("1.0.1"),)),
        ("GHSA-1", [*MANY, span("0", fixed="0.1.1")], (Span("", fixed="399.1.1"),)),
        ("GHSA-1", MANY[:100], None),
    ],
)
def test_more_spans_than_each_version_is_compared_with__count_as_one_around_them(
    make: Maker, tmp_path: Path, protocol: str, id_: str, ranges: list[Any], spans: Any
) -> None:
    name = "org:x" if protocol == "maven" else "x"
    versions = [f"1.2.{n}" for n in range(1, 2001)]
    make(folder_of(tmp_path / "feed", osv(id_, protocol, name, ranges=ranges, versions=versions)))
    assert make.snapshot is not None
    (found,) = next(iter(make.snapshot)).advisories
    assert found.spans == spans if spans else len(found.spans) == 100
    assert len(found.versions) == (0 if spans else 2000)


@pytest.mark.parametrize("name", ["../x", "a b", "", "x" * 300, "-evil\n", "{}"])
def test_hostile_name__its_advisory_is_left_out(make: Maker, tmp_path: Path, name: str) -> None:
    feed = folder_of(tmp_path / "feed", malware(1), osv("MAL-2", "PyPI", name, ranges=[span()]))
    made = make(feed)
    assert (made.refused, made.count, made.left_out) == ("", 1, 1)


@pytest.mark.parametrize(
    ("said", "spans"),
    [
        ({}, (Span(),)),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, (Span(),)),
        ({"ranges": [{"type": "SEMVER", "events": []}]}, (Span(),)),
        ({"ranges": [span("not a version")]}, (Span(),)),
        ({"ranges": [span("1.0.0", fixed="no-version")]}, (Span("1.0.0"),)),
        ({"ranges": [{"type": "SEMVER", "events": [{"fixed": "2.0.0"}]}]}, (Span(fixed="2.0.0"),)),
    ],
)
def test_malware_that_leaves_open_which_versions__counts_for_more(
    make: Maker, tmp_path: Path, said: dict[str, Any], spans: tuple[Span, ...]
) -> None:
    document = malware(1) | {}
    document["affected"][0].pop("ranges")
    document["affected"][0].update(said)
    assert make(folder_of(tmp_path / "feed", document)).count == 1
    assert make.snapshot is not None
    assert make.snapshot.of("npm", "evil-1")[0].spans == spans


def test_events__in_any_order_as_the_schema_evaluates_them(make: Maker, tmp_path: Path) -> None:
    events = [{"fixed": "3.0.0"}, {"introduced": "2.0.0"}, {"fixed": "1.5.0"}, {"introduced": "0"}]
    events += [{"introduced": "5.0.0"}, {"last_affected": "5.0.0"}]
    document = osv(
        "GHSA-1", "npm", "x", ranges=[{"type": "SEMVER", "events": events}], versions=["9.9.9", "1.2.0"]
    )
    make(folder_of(tmp_path / "feed", document))
    assert make.snapshot is not None
    (found,) = make.snapshot.of("npm", "x")
    assert found.spans == (Span(fixed="1.5.0"), Span("2.0.0", fixed="3.0.0"), Span("5.0.0", last="5.0.0"))
    assert found.versions == ("9.9.9",)  # the other is in a span


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}, 9.8),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:P/I:P/A:P"}]}, 7.5),
        (
            {
                "severity": [
                    {
                        "type": "CVSS_V4",
                        "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                    }
                ]
            },
            9.3,
        ),
        ({"database_specific": {"severity": "MODERATE"}}, 4.0),
        (
            {
                "severity": [{"type": "CVSS_V3", "score": "nonsense"}],
                "database_specific": {"severity": "HIGH"},
            },
            7.0,
        ),
        ({"database_specific": {"severity": "whatever"}}, 0.0),
        ({"database_specific": "CRITICAL"}, 0.0),
    ],
)
def test_severity__by_the_vector_else_by_the_word(
    make: Maker, tmp_path: Path, said: dict[str, Any], score: float
) -> None:
    make(folder_of(tmp_path / "feed", osv("GHSA-1", "npm", "x", ranges=[span()], **said)))
    assert make.snapshot is not None
    assert make.snapshot.of("npm", "x")[0].score == score


def test_packed_snapshot__damaged_or_another__is_told() -> None:
    for packed in (b"", b"\0" * 8, (2**62).to_bytes(8, "little") + b"x", b"\5" + b"\0" * 7 + b"junk"):
        with pytest.raises(StoreUnavailable):
            unpack(packed, "00" * 32)
