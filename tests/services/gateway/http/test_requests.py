"""What a request is read by: its key, and nothing that is not in it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.gateway.http.base_urls import BaseUrls
from services.gateway.http.requests import RequestReader, key_of, seen_by_grammar
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Redirect, Resource

SECRET = b"Bearer a-secret-token"
SENT = {
    b"accept": b"*/*",
    b"accept-encoding": b"gzip",
    b"authorization": SECRET,
    b"host": b"orchard.example.com",
    b"user-agent": b"client/1.0",
    b"cookie": b"a=b",
    b"cache-control": b"no-cache",
    b"if-none-match": b'"x"',
    b"npm-command": b"install",
    b"x-forwarded-proto": b"https",
}
PATHS = [
    b"simple/demo/", b"demo", b"@s%2fn", b"org/demo/lib/1.0/lib-1.0.jar", b"org/demo/lib/maven-metadata.xml",
    b"config.json", b"de/mo/demo", b"dl/demo/1.0.0/download", b"demo/-/demo-1.0.0.tgz",
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_classify__is_shown_the_headers_of_the_key_alone_and_no_secret(
    protocol: PackageProxyBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Mapping[bytes, bytes]] = []

    def classify(
        method: str, path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource | Redirect:
        shown.append(headers)
        return Redirect("elsewhere")

    monkeypatch.setattr(protocol.grammar, "classify", classify)
    reader = RequestReader(PROTOCOLS, base_urls=BaseUrls(()), own_name=lambda: "")
    for path in PATHS:
        reader.read(key_of("GET", protocol.mount.encode() + path, b"", SENT), SENT)
    assert shown == [{b"accept": b"*/*", b"accept-encoding": b"gzip", b"authorization": b"*"}] * len(PATHS)


@pytest.mark.parametrize("name", sorted(SENT))
def test_key__two_requests_that_a_grammar_could_tell_apart__differ(name: bytes) -> None:
    with_it = key_of("GET", b"/x", b"", {name: SENT[name]})
    without = key_of("GET", b"/x", b"", {})
    assert (with_it == without) is (seen_by_grammar(with_it) == seen_by_grammar(without))
    assert name in seen_by_grammar(with_it) or with_it == without


def test_key__has_no_secret_and_is_one_for_all_tokens() -> None:
    one, other = (key_of("GET", b"/x", b"", {b"authorization": token}) for token in (SECRET, b"other"))
    assert one == other
    assert SECRET.decode() not in str(one)
