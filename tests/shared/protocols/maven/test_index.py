"""maven-metadata.xml: what is accepted, and the union of several repositories.

`python -m tests.shared.protocols.maven.test_index` writes the golden outcome anew; read the difference.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from shared.errors import UpstreamInvalid
from shared.models import UpstreamSource
from shared.protocols.maven import MavenProxy
from shared.protocols.roles.upstream import FileHeaders
from tests.support.maven_builders import build_metadata

GOLDEN = Path(__file__).parent / "golden"
MAVEN = MavenProxy()
SOURCE = UpstreamSource(id=1, protocol="maven", name="one", url="http://repo.example/maven/")
IDENTITY = "metadata/org/demo/lib"

SNAPSHOT = """<metadata modelVersion="1.1.0"><groupId>org.demo</groupId><artifactId>lib</artifactId>
<version>1.0-SNAPSHOT</version><versioning><snapshot><timestamp>{stamp}</timestamp><buildNumber>{build}</buildNumber>
</snapshot><lastUpdated>{updated}</lastUpdated><snapshotVersions><snapshotVersion><extension>jar</extension>
<value>1.0-{stamp}-{build}</value><updated>{updated}</updated></snapshotVersion>{more}</snapshotVersions>
</versioning></metadata>"""
PLUGINS = """<metadata><plugins><plugin><name>{name}</name><prefix>{prefix}</prefix>
<artifactId>{prefix}-maven-plugin</artifactId></plugin>{more}</plugins></metadata>"""


def read(body: bytes, identity: str = IDENTITY) -> bytes:
    return MAVEN.documents.read_index(
        identity, SOURCE, url=SOURCE.url, content_type="application/xml", body=body
    ).body


def merged() -> dict[str, bytes]:
    """What the golden files hold."""
    one = build_metadata("org.demo", "lib", ["1.0", "1.2", "1.10"], updated="20240101000000")
    two = build_metadata("org.demo", "lib", ["1.1", "1.9", "2.0-rc1"], updated="20230101000000")
    more = "<extension>pom</extension><value>p</value><updated>20230101000000</updated>"
    more = f"<snapshotVersion>{more}</snapshotVersion>"
    older = SNAPSHOT.format(stamp="20230101.000000", build=3, updated="20230101000000", more=more)
    newer = SNAPSHOT.format(stamp="20240101.000000", build=1, updated="20240101000000", more="")
    extra = "<plugin><name>Same</name><prefix>demo</prefix><artifactId>other</artifactId></plugin>"
    plugins = [
        PLUGINS.format(name="Demo", prefix="demo", more=""),
        PLUGINS.format(name="Extra", prefix="extra", more=extra),
    ]
    return {
        "versions.xml": MAVEN.documents.merge_documents(IDENTITY, [one, two]),
        "snapshot.xml": MAVEN.documents.merge_documents(IDENTITY, [older.encode(), newer.encode()]),
        "plugins.xml": MAVEN.documents.merge_documents(IDENTITY, [each.encode() for each in plugins]),
    }


@pytest.mark.parametrize("name", ["versions.xml", "snapshot.xml", "plugins.xml"])
def test_golden__merged_metadata__comes_out_as_recorded(name: str) -> None:
    assert merged()[name] == (GOLDEN / name).read_bytes()


def test_merge__of_equal_or_single_documents__byte_for_byte() -> None:
    body = build_metadata("g", "a", ["1"])
    assert (
        MAVEN.documents.merge_documents(IDENTITY, [body])
        == MAVEN.documents.merge_documents(IDENTITY, [body, body])
        == body
    )


def test_merge__twice__stable() -> None:
    one, two = build_metadata("g", "a", ["1", "1.0"]), build_metadata("g", "a", ["2"])
    once = MAVEN.documents.merge_documents(IDENTITY, [one, two])
    assert MAVEN.documents.merge_documents(IDENTITY, [once, one]) == once


def test_merge__versions_that_no_path_can_hold__left_out() -> None:
    hostile = build_metadata("g", "a", ["../../x", "1", "9" * 300])
    other = build_metadata("g", "a", ["2"])
    root = ElementTree.fromstring(MAVEN.documents.merge_documents(IDENTITY, [hostile, other]))
    assert [each.text for each in root.iter("version")] == ["1", "2"]
    assert root.findtext("versioning/latest") == "2"


def test_rendering__checksums_of_exactly_the_body() -> None:
    body = build_metadata("g", "a", ["1"])
    found = MAVEN.pages.rewrite_index(IDENTITY, body, sealed={}, base_url="")
    assert found["xml"].body == body
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        assert found[algorithm].body == hashlib.new(algorithm, body).hexdigest().encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>log in</body></html>",
        b"<project/>",
        b"<metadata>",
        b'<!DOCTYPE metadata SYSTEM "http://x.example/"><metadata/>',
        b'<!DOCTYPE m [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><metadata>&c;</metadata>',
        b'<?xml version="1.0" encoding="nonsense"?><metadata/>',
        b"<metadata>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</metadata>",
        b"<metadata>\x00</metadata>",
        b"<metadata><versioning><versions>"
        + b"<version>1</version>" * 60_000
        + b"</versions></versioning></metadata>",
    ],
    ids=["empty", "page", "pom", "cut", "doctype", "entities", "encoding", "deep", "nul", "many"],
)
def test_read__not_metadata__upstream_invalid(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        read(body)


def test_read__snapshot_file__any_bytes_but_a_web_page() -> None:
    identity = "snapshot/a/c/1-SNAPSHOT/c-1-SNAPSHOT.pom"
    assert read(b"<project/>", identity) == b"<project/>"
    with pytest.raises(UpstreamInvalid):
        read(b" <!DOCTYPE html><html>", identity)


def test_read__headers_of_a_file_that_may_change__another_name_for_another_file() -> None:
    def which(**headers: str) -> bytes:
        told = msgspec.json.encode(FileHeaders(**headers))
        found: bytes = read(told, "pointer/a/c/1-SNAPSHOT/c-1-SNAPSHOT.jar")
        return found

    base = which(etag='"1"', content_length="5", date="today")
    assert base == which(etag='"1"', content_length="5", date="tomorrow")
    others = [which(etag='"2"', content_length="5"), which(etag='"1"', content_length="6")]
    others += [which(last_modified="x"), which(date="today"), which(date="tomorrow")]
    assert len({base, *others}) == 6


if __name__ == "__main__":
    for name, body in merged().items():
        (GOLDEN / name).write_bytes(body)
