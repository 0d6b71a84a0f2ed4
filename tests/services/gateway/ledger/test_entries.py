"""What is a serving: statuses × kinds of resources × protocols, without a gateway."""

from __future__ import annotations

import pytest

from services.gateway.ledger.entries import entry_of_refusal, entry_of_reply
from services.gateway.serving.ports import Known, Reply
from shared.errors import Blocked, FileNotFound, Forbidden, UpstreamRefused
from shared.ledger.batch import RESULTS, File
from shared.models import FileName
from shared.protocols import PROTOCOLS, protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Redirect, Resource
from tests.support.ports import MemoryBody

DIGEST = "ab" * 32
FILES = {
    "pypi": FileName("pypi", "flask", DIGEST, "flask-3.0.0-py3-none-any.whl"),
    "npm": FileName("npm", "@corp/app", "-", "app-1.0.0.tgz"),
    "maven": FileName("maven", "org.example:thing", "org/example/thing/1.0", "thing-1.0.jar"),
    "cargo": FileName("cargo", "serde", "1.0.0", "serde-1.0.0.crate"),
}


def resource(protocol: PackageProxyBase) -> Resource:
    return protocol.grammar.artifact_resource(FILES[protocol.name])


def told(entry: object) -> File:
    import msgspec

    return msgspec.msgpack.decode(bytes(entry.file), type=File)  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, "served"),
        (206, "partial"),
        (307, "redirected"),
        (304, ""),
        (404, ""),
        (416, ""),
        (503, ""),
        (0, ""),
    ],
)
def test_file__by_status(protocol: PackageProxyBase, status: int, result: str) -> None:
    reply = Reply(status, "HIT", [], file=Known(DIGEST))
    entry = entry_of_reply(protocol, resource(protocol), reply, status)
    assert (RESULTS[entry.result] if entry else "") == result
    if entry:
        file = FILES[protocol.name]
        version = protocol.grammar.version_asked(resource(protocol))
        assert version
        assert told(entry) == File(protocol.name, file.project, version, file.filename, DIGEST)
        assert (entry.cache, entry.code) == ("HIT", "")


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
def test_relayed_file__its_digest_is_known_at_its_end(protocol: PackageProxyBase) -> None:
    reply = Reply(200, "LIVE", [], body=MemoryBody(b"x", sha256="cd" * 32))
    entry = entry_of_reply(protocol, resource(protocol), reply, 200)
    assert entry is not None and told(entry).sha256 == "cd" * 32


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
def test_page_redirect_and_what_only_tells_of_a_file__are_no_servings(protocol: PackageProxyBase) -> None:
    page = Resource(protocol.name, "index", "any", "flask")
    for kind in (page, Redirect("elsewhere"), Resource(protocol.name, "own", "any")):
        assert entry_of_reply(protocol, kind, Reply(200, "HIT", []), 200) is None


@pytest.mark.parametrize(
    ("protocol", "path"),
    [
        ("pypi", f"/files/flask/{DIGEST}/flask-3.0.0-py3-none-any.whl.metadata"),
        ("pypi", f"/files/flask/{DIGEST}/flask-3.0.0.tar.gz.asc"),
        ("maven", "/org/example/thing/1.0/thing-1.0.jar.sha1"),
        ("maven", "/org/example/thing/1.0/thing-1.0.jar.sha256"),
    ],
)
def test_what_stands_beside_a_file__is_no_serving(protocol: str, path: str) -> None:
    known = protocol_named(protocol)
    found = known.grammar.classify("GET", path.encode(), b"", {})
    assert isinstance(found, Resource) and found.kind == "artifact"
    assert entry_of_reply(known, found, Reply(200, "HIT", [], file=Known(DIGEST)), 200) is None


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
def test_refusal__names_its_rule(protocol: PackageProxyBase) -> None:
    class TooYoung(Blocked):
        code = "too_young_of_a_test"

    for error in (Blocked("no"), TooYoung("no")):
        entry = entry_of_refusal(protocol, resource(protocol), error, "NONE")
        assert entry is not None
        assert (RESULTS[entry.result], entry.code, entry.cache) == ("refused", error.code, "NONE")
        page = Resource(protocol.name, "index", "any", "flask")
        assert entry_of_refusal(protocol, page, error, "NONE") is not None
    for other in (FileNotFound("no"), Forbidden("no"), UpstreamRefused("no")):
        assert entry_of_refusal(protocol, resource(protocol), other, "NONE") is None
    assert entry_of_refusal(protocol, Redirect("elsewhere"), Blocked("no"), "NONE") is None
