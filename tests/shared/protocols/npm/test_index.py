"""Reading packuments: what is kept, dropped and refused; what of the last document outlives a refresh."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec
import pytest

from shared.errors import UpstreamInvalid
from shared.protocols.npm import names
from shared.protocols.npm.document import encode_document
from shared.protocols.npm.resolver.packument import read_packument
from tests.shared.protocols.npm.support import (
    BASE,
    NOW,
    NPM,
    SOURCE,
    manifest,
    named,
    packument,
    read,
    refreshed,
    rendered,
    sealed_files,
)


def _ssri(text: bytes, algorithm: str = "sha512") -> str:
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, text).digest()).decode()}"


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"<html></html>", b'{"name":"demo"}', b'{"name":"other","versions":{}}',
        b'{"name":"demo","versions":{}', b'{"a":"\xff"}',
        b'{"name":"demo","versions":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)  # fmt: skip
def test_read__no_packument__upstream_invalid(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        read(body)


@pytest.mark.parametrize(
    "shape",
    [
        {"dist-tags": {}}, {"versions": None}, {"versions": []}, {"versions": {}, "time": None},
        {"versions": {}, "dist-tags": None}, {"time": {}}, {"versions": {}, "name": None},
    ],
)  # fmt: skip
def test_read__no_versions_in_whatever_shape__a_package_without_versions(shape: dict[str, Any]) -> None:
    document, dropped = read({"name": "demo", **shape})
    assert not dropped
    body = encode_document("packument/demo", "", document.notes, memoryview(document.envelope.text))
    assert read_packument(body).releases == {}
    for representation in ("full", "abbreviated"):
        assert rendered(document, representation)["versions"] == {}


@pytest.mark.parametrize("told", ["Demo", "DEMO", None, "", "  ", 5, False])
def test_read__name_told_in_another_case_or_not__taken(told: Any) -> None:
    document, _ = read({**packument(manifest("1.0.0")), "name": told})
    assert list(rendered(document)["versions"]) == ["1.0.0"]


@pytest.mark.parametrize(
    ("spec", "version", "taken"),
    [
        ("1.0.0", "1.0.0", True),
        ("1.0.0", "1.0.0+build.5", True),
        ("1.0.0+build.5", "1.0.0", True),
        ("v1.0.0", "1.0.0", True),
        ("1.0.0", "v1.0.0", True),
        ("1.0.0", "1.0.1", False),
        ("1.0.0", "1.0.0-rc.1", False),
        ("1.0.0", "latest", False),
        ("5-legacy", "5.9.0", True),
        ("30-x-y", "30.1.2", True),
        ("1.0", "1.0.7", True),
        ("pr/12", "0.0.0-pr12", True),
    ],
)
def test_read__version_document__is_the_version_that_semver_reads_or_the_tags(
    spec: str, version: str, taken: bool
) -> None:
    identity = names.version_identity("demo", spec)
    tarball = "https://registry.example.com/demo/-/demo.tgz"
    if not taken:
        with pytest.raises(UpstreamInvalid):
            read(manifest(version, tarball=tarball), identity=identity)
        return
    document, _ = read(manifest(version, tarball=tarball), identity=identity)
    assert rendered(document)["version"] == version


def test_served__links_in_a_document__are_ours() -> None:
    attested = {"url": "https://registry.example.com/-/npm/v1/attestations/@s%2fdemo@1.0.0", "provenance": {}}
    version = manifest("1.0.0", name="@s/demo", attestations=attested)
    elsewhere = {**manifest("1.1.0", name="@s/demo"), "_resolved": "file:///home/x/demo.tgz"}
    version["_resolved"] = version["dist"]["tarball"]
    document, _ = read(packument(version, elsewhere, name="@s/demo"), identity="packument/@s/demo")
    for representation in ("full", "abbreviated"):
        text = json.dumps(rendered(document, representation))
        assert "registry.example.com" not in text
        dist = json.loads(text)["versions"]["1.0.0"]["dist"]
        assert dist["attestations"] == {
            "url": f"{BASE}/-/npm/v1/attestations/@s%2fdemo@1.0.0", "provenance": {}
        }  # fmt: skip
    assert rendered(document)["versions"]["1.0.0"]["_resolved"] == f"{BASE}/@s/demo/-/demo-1.0.0.tgz"
    assert rendered(document)["versions"]["1.1.0"]["_resolved"] == "file:///home/x/demo.tgz"


def test_abbreviated__time_without_modified__the_newest_time_is_told() -> None:
    body = packument(manifest("1.0.0"), manifest("2.0.0"))
    body["time"] = {"1.0.0": "2020-01-01T00:00:00.000Z", "2.0.0": "2021-05-05T00:00:00.000Z"}
    document, _ = read(body)
    assert rendered(document, "abbreviated")["modified"] == "2021-05-05T00:00:00.000Z"
    body["time"]["modified"] = "2022-01-01T00:00:00.000Z"
    document, _ = read(body)
    assert rendered(document, "abbreviated")["modified"] == "2022-01-01T00:00:00.000Z"


def test_read__duplicate_keys__last_counts_everywhere() -> None:
    first, last = json.dumps(manifest("1.0.0")), json.dumps(manifest("1.0.0", shasum="b" * 40))
    body = f'{{"name":"demo","versions":{{}},"versions":{{"1.0.0":{first},"1.0.0":{last}}}}}'.encode()
    document, _ = read(body)
    assert rendered(document)["versions"]["1.0.0"]["dist"]["shasum"] == "b" * 40
    entry = NPM.documents.find_file(document, named("demo-1.0.0.tgz"))
    assert entry is not None and entry.hashes == {"sha1": "b" * 40}


def test_read__unpublished_package__no_versions_and_its_time() -> None:
    document, _ = read({"name": "demo", "time": {"unpublished": {"time": "2020"}}})
    assert rendered(document)["time"] == {"unpublished": {"time": "2020"}}
    assert rendered(document)["versions"] == {}


@pytest.mark.parametrize(
    ("tarball", "allowed"),
    [
        ("https://registry.example.com/demo/-/demo-2.0.0.tgz", True),
        ("/demo/-/demo-2.0.0.tgz", True),
        ("https://cdn.example.org/x.tgz", True),
        ("http://10.0.0.1/demo-2.0.0.tgz", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("http://localhost/x.tgz", False),
        ("http://[::1]/x.tgz", False),
        ("javascript:alert(1)", False),
        ("data:,x", False),
        ("file:///etc/passwd", False),
        ("https://[broken/x.tgz", False),
        ("https://registry.example.com/a\x00b", False),
        ("", False),
        (None, False),
        (7, False),
        ([], False),
    ],
)
def test_read__tarball_address__kept_or_version_dropped_and_counted(tarball: Any, allowed: bool) -> None:
    document, dropped = read(packument(manifest("1.0.0"), manifest("2.0.0", tarball=tarball)))
    assert ("2.0.0" in rendered(document)["versions"]) is allowed
    assert len(dropped) == (0 if allowed else 1)
    assert (NPM.documents.find_file(document, named("demo-2.0.0.tgz")) is not None) is allowed
    assert rendered(document)["dist-tags"] == {"latest": "2.0.0" if allowed else "1.0.0"}


def test_read__allowed_hosts__no_other_host() -> None:
    source = msgspec.structs.replace(SOURCE, allowed_hosts=("cdn.example.org",))
    versions = [
        manifest("1.0.0"),
        manifest("2.0.0", tarball="https://cdn.example.org/demo-2.0.0.tgz"),
        manifest("3.0.0", tarball="https://cdn.example.net/demo-3.0.0.tgz"),
    ]
    document, dropped = read(packument(*versions), source=source)
    assert list(rendered(document)["versions"]) == ["1.0.0", "2.0.0"]
    assert len(dropped) == 1


def test_read__plain_http_on_the_sources_own_host__its_https() -> None:
    tarball = "http://registry.example.com:80/demo/-/demo-1.0.0.tgz"
    document, _ = read(packument(manifest("1.0.0", tarball=tarball)))
    entry = NPM.documents.find_file(document, named("demo-1.0.0.tgz"))
    assert entry is not None and entry.url == "https://registry.example.com/demo/-/demo-1.0.0.tgz"


@pytest.mark.parametrize("version", ["../1", "__proto__", "a/b", "", "1.0.0\n", "x" * 300, "1 2"])
def test_read__version_that_is_none__dropped(version: str) -> None:
    body = packument(manifest("1.0.0"))
    body["versions"][version] = manifest("1.0.0")
    document, dropped = read(body)
    assert list(rendered(document)["versions"]) == ["1.0.0"]
    assert len(dropped) == 1


@pytest.mark.parametrize("broken", [None, 5, "x", [], {}, {"dist": None}, {"dist": {"tarball": {}}}])
def test_read__version_of_a_wrong_shape__dropped(broken: Any) -> None:
    body = packument(manifest("1.0.0"))
    body["versions"]["2.0.0"] = broken
    document, dropped = read(body)
    assert list(rendered(document)["versions"]) == ["1.0.0"]
    assert len(dropped) == 1


def test_read__version_document_of_another_version__upstream_invalid() -> None:
    with pytest.raises(UpstreamInvalid):
        read(manifest("2.0.0"), identity="version/demo/1.0.0")
    document, _ = read(manifest("2.0.0"), identity="version/demo/latest")
    assert rendered(document)["version"] == "2.0.0"


def test_read__ten_thousand_versions__all_there() -> None:
    document, dropped = read(packument(*(manifest(f"1.{n}.0") for n in range(10_000))))
    assert not dropped
    assert len(rendered(document, "abbreviated")["versions"]) == 10_000


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tarball", "filename"),
    [
        ("https://registry.example.com/demo/-/demo-1.0.0.tgz", "demo-1.0.0.tgz"),
        ("https://registry.example.com/download/demo/1.0.0", "demo-1.0.0.tgz"),
        ("https://registry.example.com/tarball.tgz", "demo-1.0.0.tgz"),
        ("https://registry.example.com/x/old-name-1.0.0.tgz", "old-name-1.0.0.tgz"),
        ("https://registry.example.com/x/demo-1.0.0.tgz?token=1", "demo-1.0.0.tgz"),
    ],
)
def test_filename__upstreams_own_if_it_tells_the_version(tarball: str, filename: str) -> None:
    document, _ = read(packument(manifest("1.0.0", tarball=tarball)))
    assert rendered(document)["versions"]["1.0.0"]["dist"]["tarball"] == f"{BASE}/demo/-/{filename}"
    entry = NPM.documents.find_file(document, named(filename))
    assert entry is not None
    assert (entry.url, entry.file_id) == (tarball, "-")


def test_find_file__scoped_name() -> None:
    document, _ = read(packument(manifest("1.0.0", name="@s/n"), name="@s/n"), identity="packument/@s/n")
    assert NPM.documents.find_file(document, named("n-1.0.0.tgz")) is not None
    assert NPM.documents.find_file(document, named("n-1.0.1.tgz")) is None
    assert rendered(document)["versions"]["1.0.0"]["dist"]["tarball"] == f"{BASE}/@s/n/-/n-1.0.0.tgz"


@pytest.mark.parametrize(
    ("dist", "algorithms"),
    [
        ({"integrity": _ssri(b"x")}, {"sha512", "sha1"}),
        (
            {"integrity": f"{_ssri(b'x', 'sha1')} {_ssri(b'x', 'sha384')}?opt", "shasum": None},
            {"sha1", "sha384"},
        ),
        ({"integrity": "sha512-AAAA"}, {"sha1"}),
        ({"integrity": "sha512-!!", "shasum": "xyz"}, set()),
        ({"integrity": 5, "shasum": None}, set()),
        ({"integrity": "md5-" + base64.b64encode(b"x" * 16).decode(), "shasum": None}, set()),
    ],
)
def test_find_file__digests_as_hex(dist: dict[str, Any], algorithms: set[str]) -> None:
    document, _ = read(packument(manifest("1.0.0", **dist)))
    entry = NPM.documents.find_file(document, named("demo-1.0.0.tgz"))
    assert entry is not None and set(entry.hashes) == algorithms
    if "sha512" in algorithms:
        assert entry.hashes["sha512"] == hashlib.sha512(b"x").hexdigest()


# --- what outlives a refresh ---------------------------------------------------------------------------


def test_time__absent__first_seen_then_kept() -> None:
    undated = packument(manifest("1.0.0"))
    del undated["time"]
    first = refreshed(None, undated, now=1_700_000_000)
    assert rendered(first)["time"] == dict.fromkeys(
        ("created", "modified", "1.0.0"), "2023-11-14T22:13:20.000Z"
    )
    more = packument(manifest("1.0.0"), manifest("1.1.0"))
    del more["time"]
    second = refreshed(first, more, now=1_700_000_100)
    times = rendered(second)["time"]
    assert times["1.0.0"] == "2023-11-14T22:13:20.000Z"
    assert times["1.1.0"] == times["modified"] == "2023-11-14T22:15:00.000Z"
    assert rendered(second, "abbreviated")["modified"] == times["modified"]


def test_time__told_by_upstream__left_alone() -> None:
    body = packument(manifest("1.0.0"))
    assert rendered(refreshed(None, body))["time"] == body["time"]


def test_time__upstream_forgets_it__last_known_kept() -> None:
    first = refreshed(None, packument(manifest("1.0.0")))
    undated = packument(manifest("1.0.0"), time="nonsense")
    assert rendered(refreshed(first, undated))["time"]["1.0.0"] == "2020-01-01T00:00:00.000Z"


SEALED = "demo-1.0.0.tgz"


@pytest.mark.parametrize(
    "change",
    [
        {"shasum": "b" * 40},
        {"shasum": None},
        {"shasum": "b" * 40, "integrity": _ssri(b"other")},
        {"shasum": "a" * 40, "integrity": _ssri(b"other")},
    ],
)
def test_dist_of_a_sealed_tarball__other_or_no_digests__frozen_for_ever(change: dict[str, Any]) -> None:
    dist = {"integrity": _ssri(b"x"), "signatures": [{"keyid": "k"}]}
    first = refreshed(None, packument(manifest("1.0.0", **dist)))
    shown = rendered(first)["versions"]["1.0.0"]["dist"]
    later = first
    for _ in range(3):
        later = refreshed(later, packument(manifest("1.0.0", **change)), sealed=(SEALED,))
        assert rendered(later)["versions"]["1.0.0"]["dist"] == shown
        entry = NPM.documents.find_file(later, named(SEALED))
        assert entry is not None and entry.hashes["sha512"] == hashlib.sha512(b"x").hexdigest()
    reported = NPM.pages.mutated_files(later, sealed_files(SEALED))
    changed = change.get("integrity") or change.get("shasum")
    assert len(reported) == (1 if changed else 0)


def test_dist_of_a_sealed_tarball__more_digests_or_signatures__taken() -> None:
    first = refreshed(None, packument(manifest("1.0.0")))
    richer = manifest("1.0.0", integrity=_ssri(b"x"), signatures=[{"keyid": "new"}])
    later = refreshed(first, packument(richer), sealed=(SEALED,))
    assert rendered(later)["versions"]["1.0.0"]["dist"]["signatures"] == [{"keyid": "new"}]
    assert NPM.pages.mutated_files(later, sealed_files(SEALED)) == []


HELD = {"sha512": hashlib.sha512(b"x").hexdigest(), "sha1": hashlib.sha1(b"x").hexdigest()}


def test_tarball_sealed_before_any_packument__other_bytes_told_now__its_own_digests_shown_for_ever() -> None:
    other = manifest("1.0.0", integrity=_ssri(b"other"), shasum="b" * 40, signatures=[{"keyid": "k"}])
    later = None
    for _ in range(2):
        later = refreshed(later, packument(other, manifest("1.1.0")), sealed=(SEALED,), digests=HELD)
        shown = rendered(later)["versions"]["1.0.0"]["dist"]
        assert shown == {
            "tarball": f"{BASE}/demo/-/{SEALED}",
            "integrity": _ssri(b"x"),
            "shasum": HELD["sha1"],
        }
        assert [digest for _, digest in NPM.pages.mutated_files(later, sealed_files(SEALED))] == [
            hashlib.sha512(b"other").hexdigest()
        ]


@pytest.mark.parametrize("dist", [{"integrity": _ssri(b"x"), "shasum": HELD["sha1"]}, {"shasum": None}])
def test_tarball_sealed_before_any_packument__same_bytes_or_none_told__dist_as_upstream_has_it(
    dist: dict[str, Any],
) -> None:
    body = packument(manifest("1.0.0", signatures=[{"keyid": "k"}], **dist))
    later = refreshed(None, body, sealed=(SEALED,), digests=HELD)
    assert rendered(later)["versions"]["1.0.0"]["dist"]["signatures"] == [{"keyid": "k"}]
    assert NPM.pages.mutated_files(later, sealed_files(SEALED)) == []


def test_sealed_tarball_whose_digests_are_all_told__the_document_before_is_not_read() -> None:
    told = manifest("1.0.0", integrity=_ssri(b"x"), shasum=HELD["sha1"])
    document, _ = read(packument(told))
    assert not NPM.pages.wants_previous(document, sealed_files(SEALED, digests=HELD))
    assert NPM.pages.wants_previous(document, sealed_files(SEALED))  # stored before digests were kept
    assert NPM.pages.wants_previous(
        document, sealed_files(SEALED, "demo-2.0.0.tgz", digests=HELD)
    )  # withdrawn
    assert NPM.pages.carry_over(document, None, sealed_files(SEALED, digests=HELD), NOW) is None


def test_dist_of_a_tarball_that_is_not_sealed__follows_upstream() -> None:
    first = refreshed(None, packument(manifest("1.0.0")))
    later = refreshed(first, packument(manifest("1.0.0", shasum="b" * 40)))
    assert rendered(later)["versions"]["1.0.0"]["dist"]["shasum"] == "b" * 40


def test_version_withdrawn_then_published_with_other_bytes__first_dist() -> None:
    first = refreshed(None, packument(manifest("1.0.0"), manifest("1.1.0")))
    gone = refreshed(first, packument(manifest("1.1.0")), sealed=(SEALED,))
    assert list(rendered(gone)["versions"]) == ["1.1.0"]
    assert NPM.documents.find_file(gone, named(SEALED)) is None
    back = refreshed(gone, packument(manifest("1.0.0", shasum="c" * 40), manifest("1.1.0")), sealed=(SEALED,))
    assert rendered(back)["versions"]["1.0.0"]["dist"]["shasum"] == "a" * 40


def test_carry_over__same_input__same_bytes() -> None:
    document, _ = read({**packument(manifest("1.0.0"), manifest("1.1.0")), "time": {}})
    made = {NPM.pages.carry_over(document, None, sealed_files("b", "a"), 5.0) for _ in range(3)}
    assert len(made) == 1


# --- rendering ------------------------------------------------------------------------------------------


def test_render__values_are_the_upstreams_bytes() -> None:
    text = (
        b'{"name":"demo","dist-tags":{"latest":"1.0.0"},"x":1.0e5,"time":{"1.0.0":"2020"},"versions":'
        b'{"1.0.0":{"n":1E400,"u":"\\u00e9","dist":{"z":[1.50],"tarball":"https://registry.example.com/a.tgz"}}}}'
    )
    document, _ = read(text)
    full = NPM.pages.rewrite_index("packument/demo", document, sealed={}, base_url=BASE)["full"].body
    for piece in (b'"x":1.0e5', b'"n":1E400', b'"u":"\\u00e9"', b'"z":[1.50]'):
        assert piece in full


def test_render__text_outside_ascii_and_slashes__unchanged_values() -> None:
    body = packument(manifest("1.0.0"), description="é☃ </script>\u2028", readme="\x01" * 3)
    assert rendered(read(body)[0])["description"] == body["description"]
    assert rendered(read(body)[0])["readme"] == body["readme"]


def test_render_abbreviated__fields_for_installing_only() -> None:
    full = {
        **manifest("1.0.0"), "scripts": {"install": "x"}, "readme": "r", "os": ["linux"], "cpu": ["x64"],
        "libc": ["glibc"], "bin": {"a": "b"}, "engines": {"node": ">=1"}, "peerDependenciesMeta": {"a": {}},
        "deprecated": "old", "_hasShrinkwrap": False, "gitHead": "x", "maintainers": [],
    }  # fmt: skip
    short = rendered(read(packument(full))[0], "abbreviated")["versions"]["1.0.0"]
    assert set(short) == {
        "name", "version", "dist", "os", "cpu", "libc", "bin", "engines", "peerDependenciesMeta",
        "deprecated", "_hasShrinkwrap", "hasInstallScript",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [({"test": "x"}, None), ({"postinstall": "x"}, True), ("nonsense", None), (None, None)],
)
def test_render_abbreviated__install_script__told(scripts: Any, expected: bool | None) -> None:
    document, _ = read(packument({**manifest("1.0.0"), "scripts": scripts}))
    short = rendered(document, "abbreviated")["versions"]["1.0.0"]
    assert short.get("hasInstallScript") is expected


def test_rewrite__document_of_another_package__refused() -> None:
    with pytest.raises(UpstreamInvalid):
        NPM.pages.rewrite_index("packument/other", read(packument())[0], sealed={}, base_url=BASE)
