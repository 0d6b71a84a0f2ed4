"""Where a source has index files and crates."""

from __future__ import annotations

import msgspec
import pytest

from shared.errors import UpstreamInvalid
from shared.models import UpstreamSource
from shared.protocols.cargo.upstream import CargoUpstream, Config, download_url
from shared.protocols.roles.upstream import SOURCE_DOCUMENT

SOURCE = UpstreamSource(1, "cargo", "public", "https://index.example.com/sub")
UPSTREAM = CargoUpstream()


@pytest.mark.parametrize(("identity", "path"), [("index/serde", "se/rd/serde"), ("index/a", "1/a")])
def test_index_file__lies_below_the_root(identity: str, path: str) -> None:
    assert UPSTREAM.upstream_request(identity, SOURCE).url == f"https://index.example.com/sub/{path}"


@pytest.mark.parametrize(
    ("dl", "url"),
    [
        ("https://x.example.com/api", "https://x.example.com/api/Se_De/1.0.0+b/download"),
        ("https://x.example.com/{crate}-{version}.crate", "https://x.example.com/Se_De-1.0.0+b.crate"),
        ("https://x.example.com/{prefix}/{lowerprefix}/{crate}", "https://x.example.com/Se/_D/se/_d/Se_De"),
        ("https://x.example.com/{sha256-checksum}", f"https://x.example.com/{'a' * 64}"),
        ("https://x.example.com/{other}", "https://x.example.com/{other}/Se_De/1.0.0+b/download"),
    ],
)
def test_crate__lies_where_the_source_s_config_says(dl: str, url: str) -> None:
    assert download_url(Config(dl), "Se_De", "1.0.0+b", "a" * 64) == url


@pytest.mark.parametrize(
    "dl",
    [
        "",
        "file:///nowhere",
        "ftp://x.example.com",
        "/api/v1/crates",
        "x.example.com",
        "https://",
        "https:///x",
        "https://[x",
        "http://x.example.com:port",
        "http://x.example.com:0",
    ],
)
def test_config__dl_is_no_http_address__refused(dl: str) -> None:
    with pytest.raises(UpstreamInvalid):
        UPSTREAM.read_source_document(msgspec.json.encode({"dl": dl}))


@pytest.mark.parametrize(
    "dl",
    ["HTTPS://x.example.com", "http://127.0.0.1:8080/{prefix}", "https://{crate}.example.com"],
)
def test_config__dl_is_an_http_address_with_markers_or_without__taken(dl: str) -> None:
    assert UPSTREAM.read_source_document(msgspec.json.encode({"dl": dl})) == Config(dl)


def test_source_document__is_its_config_and_kept_longer_than_an_index() -> None:
    asked = UPSTREAM.source_document("https://index.example.com/sub/")
    assert asked is not None and asked.url == "https://index.example.com/sub/config.json"
    assert UPSTREAM.read_source_document(b'{"dl": "https://x", "auth-required": true}') == Config("https://x")
    assert UPSTREAM.lifetime(SOURCE_DOCUMENT).fresh == 3600
    assert UPSTREAM.lifetime("index/serde").fresh is None
