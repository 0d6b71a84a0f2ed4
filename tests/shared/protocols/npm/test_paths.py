"""The grammar below /npm: what is one resource, what is refused, what is passed on."""

from __future__ import annotations

import pytest

from shared.errors import MalformedRequest, MethodNotAllowed, RouteNotFound, UriTooLong
from shared.models import FileName, UpstreamSource
from shared.protocols.npm import names
from tests.shared.protocols.npm.support import NPM, SOURCE, classify


@pytest.mark.parametrize("path", [b"/@s/n", b"/@s%2fn", b"/@s%2Fn", b"/%40s%2fn"])
def test_scoped_packument__any_spelling__one_identity(path: bytes) -> None:
    assert classify(path).identity == "packument/@s/n"


@pytest.mark.parametrize(
    "path",
    [
        b"/@s/n/-/n-1.0.0.tgz",
        b"/@s%2fn/-/n-1.0.0.tgz",
        b"/@s%2Fn/-/n-1.0.0.tgz",
        b"/@s/n/-/@s/n-1.0.0.tgz",
        b"/@s%2fn/-/@s%2fn-1.0.0.tgz",
    ],
)
def test_scoped_tarball__any_spelling__one_resource(path: bytes) -> None:
    found = classify(path)
    assert (found.kind, found.project, found.filename) == ("artifact", "@s/n", "n-1.0.0.tgz")
    assert found == NPM.grammar.artifact_resource(FileName("npm", "@s/n", "-", "n-1.0.0.tgz"))


def test_names_that_differ_by_case__differ() -> None:
    assert classify(b"/JSONStream").identity != classify(b"/jsonstream").identity


@pytest.mark.parametrize(
    "path", [b"/a.b_c-d", b"/~x", b"/a'b", b"/lodash.merge", b"/@types/node", b"/@a-b/c", b"/" + b"x" * 214]
)
def test_name__that_the_registry_holds__taken(path: bytes) -> None:
    assert classify(path).project == path[1:].decode()


@pytest.mark.parametrize(
    "path",
    [
        b"/@/x", b"/@a/", b"/@a", b"/..", b"/.", b"/%2e%2e", b"/%2E", b"/a/../../b", b"/a%2fb",
        b"/a%252fb", b"/node_modules", b"/NODE_MODULES", b"/favicon.ico", b"/__proto__", b"/_x", b"/.x",
        b"/a%00b", b"/a%0d%0ab", b"/a\\b", b"/a;b", b"/%ff", b"/\xc3\xa9", b"/a%zz", b"/" + b"x" * 215,
        b"/@s%2fn%2fm", b"/@../x", b"/@a/@b", b"/a b", b"/-/package/../dist-tags",
    ],
)  # fmt: skip
def test_name__that_none_can_have__400(path: bytes) -> None:
    with pytest.raises(MalformedRequest):
        classify(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/a/b/c", b"/a/%2fb%2f^", b"/a/-/", b"/a/-/b",
        b"/a/1.0.0/b-1.0.0.tgz", b"/a/1.0.0/a-1.0.1.tgz", b"/@a/b/1.0.0/" + b"0a" * 20,
        b"/download/a/1.0.0/0a", b"/a/download/b-1.0.0.tgz",
        b"/a/-/b.zip", b"/a/-/.tgz", b"/a/^1.0.0", b"/a/__proto__",
        b"/-/all", b"/-/user/org.couchdb.user:x", b"/-/npm/v1/tokens", b"/a/-/a-1.0.0.tgz/x", b"/-/nope",
    ],
)  # fmt: skip
def test_address__that_is_none_here__404(path: bytes) -> None:
    with pytest.raises((RouteNotFound, MalformedRequest)):
        classify(path)


def test_path__over_two_kilobytes__414() -> None:
    with pytest.raises(UriTooLong):
        classify(b"/" + b"x/" * 1100)


@pytest.mark.parametrize(
    ("accept", "representation"),
    [
        (None, "full"),
        ("", "full"),
        ("*/*", "full"),
        ("application/json", "full"),
        ("application/vnd.npm.install-v1+json", "abbreviated"),
        ("application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*", "abbreviated"),
        ("application/json; q=1.0, application/vnd.npm.install-v1+json; q=0.5", "full"),
        ("application/json; q=1.0, */*", "full"),
        ("application/vnd.npm.install-v1+json;q=0", "full"),
        ("application/vnd.npm.install-v1+json;q=x", "full"),
        ("APPLICATION/VND.NPM.INSTALL-V1+JSON", "abbreviated"),
        ("text/html", "full"),
        ("application/vnd.npm.install-v1+json," + "x" * 5000, "full"),
    ],
)
def test_packument__accept__representation(accept: str | None, representation: str) -> None:
    found = classify(b"/demo", accept=accept)
    assert found.representation == representation
    assert found.vary == "Accept, Accept-Encoding"
    assert found.per_base_url


@pytest.mark.parametrize("name", [b"@s%2fn", b"@s/n", b"n"])
@pytest.mark.parametrize(
    ("spec", "read", "asked"),
    [
        (b"1.0.0", "1.0.0", "1.0.0"),
        (b"1.0.0-rc.1+build.5", "1.0.0-rc.1+build.5", "1.0.0-rc.1%2Bbuild.5"),
        (b"1.0.0%2Bbuild.5", "1.0.0+build.5", "1.0.0%2Bbuild.5"),
        (b"latest", "latest", "latest"),
        (b"next-11", "next-11", "next-11"),
        (b"30-x-y", "30-x-y", "30-x-y"),
        (b"v2-lts", "v2-lts", "v2-lts"),
        (b"_x", "_x", "_x"),
        (b"pr%2F12", "pr/12", "pr%2F12"),
        (b"pr%2f12%2f3", "pr/12/3", "pr%2F12%2F3"),
        (b"next%402", "next@2", "next%402"),
    ],
)
def test_version_document__identity_of_its_own_and_asked_for_as_it_was(
    name: bytes, spec: bytes, read: str, asked: str
) -> None:
    found = classify(b"/" + name + b"/" + spec)
    project = name.decode().replace("%2f", "/")
    assert names.split_identity(found.identity) == ("version", project, read)
    assert NPM.grammar.project_of(found.identity) == project
    url = NPM.upstream.upstream_request(found.identity, SOURCE).url
    assert url == f"https://registry.example.com/{project.replace('/', '%2F')}/{asked}"


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        (b"/a/", "packument/a"),
        (b"/@s/n/", "packument/@s/n"),
        (b"/@s%2fn/", "packument/@s/n"),
        (b"//a", "packument/a"),
        (b"//@s//n//", "packument/@s/n"),
        (b"/a//1.0.0/", "version/a/1.0.0"),
        (b"//-/npm/v1/keys", "keys"),
        (b"/-", "packument/-"),
        (b"/-/0.0.1", "version/-/0.0.1"),
        (b"/-/latest", "version/-/latest"),
    ],
)
def test_slashes_too_many__are_none(path: bytes, identity: str) -> None:
    assert classify(path).identity == identity


PREFIXES = (b"", b"/npm", b"/repository/npm-all", b"/artifactory/api/npm/virtual", b"/@other/scope", b"//")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("tail", "project", "filename"),
    [
        (b"/n/-/n-1.0.0.tgz", "n", "n-1.0.0.tgz"),
        (b"/@s/n/-/n-1.0.0.tgz", "@s/n", "n-1.0.0.tgz"),
        (b"/@s%2fn/-/n-1.0.0.tgz", "@s/n", "n-1.0.0.tgz"),
        (b"/@s/n/-/@s/n-1.0.0.tgz", "@s/n", "n-1.0.0.tgz"),
        (b"/n/download/n-1.0.0.tgz", "n", "n-1.0.0.tgz"),
        (b"/@s/n/download/@s/n-1.0.0.tgz", "@s/n", "n-1.0.0.tgz"),
        (b"/-/-/--0.0.1.tgz", "-", "--0.0.1.tgz"),
        (b"/packages/n/1.0.0/n-1.0.0.tgz", "n", "n-1.0.0.tgz"),
        (b"/n/1.0.0-rc.1/n-1.0.0-rc.1.tgz", "n", "n-1.0.0-rc.1.tgz"),
        (b"/packages/@s/n/1.0.0/n-1.0.0.tgz", "@s/n", "n-1.0.0.tgz"),
        (b"/packages/%40s/n/1.0.0/n-1.0.0.tgz", "@s/n", "n-1.0.0.tgz"),
        (b"/packages/@s%2fn/1.0.0/n-1.0.0.tgz", "@s/n", "n-1.0.0.tgz"),
        (b"/download/@s/n/1.0.0/" + b"0a" * 20, "@s/n", "n-1.0.0.tgz"),
        (b"/download/%40s/n/1.0.0/" + b"0a" * 32, "@s/n", "n-1.0.0.tgz"),
    ],
)
def test_tarball__the_tail_of_an_address_is_enough(
    prefix: bytes, tail: bytes, project: str, filename: str
) -> None:
    assert classify(prefix + tail) == NPM.grammar.artifact_resource(FileName("npm", project, "-", filename))
    assert NPM.grammar.is_root_relative(prefix + tail)


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        (b"/-/npm/v1/keys", True),
        (b"/-/npm/v1/attestations/n@1.0.0", True),
        (b"/-/npm/v1/security/advisories/bulk", True),
        (b"/-/npm/v1/tokens", False),
        (b"/health", False),
        (b"/health/live", False),
        (b"/n", False),
        (b"/@s/n", False),
        (b"/favicon.ico", False),
        (b"/x/n-1.0.0.tgz", False),
        (b"/n/1.0.0/m-1.0.0.tgz", False),
        (b"/n/1.0.0/n-2.0.0.tgz", False),
        (b"/download/n/1.0.0/" + b"0a" * 20, False),
        (b"/-/ping", False),
        (b"/", False),
    ],
)
def test_path_at_the_root__npms_only_where_it_can_be_nothing_else(path: bytes, taken: bool) -> None:
    assert NPM.grammar.is_root_relative(path) is taken


def test_dist_tags__representation_of_the_packument() -> None:
    found = classify(b"/-/package/@s%2fn/dist-tags")
    assert (found.identity, found.representation) == ("packument/@s/n", "dist-tags")


def test_attestations_and_keys__cached_documents() -> None:
    found = classify(b"/-/npm/v1/attestations/@s%2fn@1.0.0")
    assert (found.kind, found.identity) == ("index", "attestations/@s/n@1.0.0")
    assert NPM.grammar.project_of(found.identity) == "@s/n"
    assert classify(b"/-/npm/v1/keys").identity == "keys"


@pytest.mark.parametrize("path", [b"/-/ping", b"/-/whoami", b"/"])
def test_answered_by_orchard__no_upstream_path(path: bytes) -> None:
    found = classify(path)
    assert (found.kind, found.forward_path) == ("forward", "")
    assert found.forward_fallback.startswith(b"{")


def test_search__keeps_its_query() -> None:
    found = classify(b"/-/v1/search", query=b"text=a%20b&size=20")
    assert found.forward_path == "-/v1/search?text=a%20b&size=20"
    assert found.forward_fallback == b""
    for query in (b"text=\r\nhost: x", b"text= x", b"x" * 3000):
        with pytest.raises(MalformedRequest):
            classify(b"/-/v1/search", query=query)


@pytest.mark.parametrize("tail", [b"advisories/bulk", b"audits/quick", b"audits"])
def test_audit__posted_only_and_harmless_without_upstream(tail: bytes) -> None:
    path = b"/-/npm/v1/security/" + tail
    found = classify(path, method="POST")
    assert found.forward_path == path[1:].decode()
    assert found.forward_fallback.startswith(b"{")
    with pytest.raises(MethodNotAllowed):
        classify(path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_everything_else__read_only(method: str) -> None:
    for path in (b"/demo", b"/demo/-/demo-1.0.0.tgz", b"/-/ping", b"/-/v1/search"):
        with pytest.raises(MethodNotAllowed):
            classify(path, method=method)


@pytest.mark.parametrize(
    ("identity", "path"),
    [
        ("packument/demo", "demo"),
        ("packument/@s/n", "@s%2Fn"),
        ("version/@s/n/1.0.0+b", "@s%2Fn/1.0.0%2Bb"),
        ("version/demo/latest", "demo/latest"),
        ("keys", "-/npm/v1/keys"),
        ("attestations/@s/n@1.0.0", "-/npm/v1/attestations/@s%2Fn@1.0.0"),
    ],
)
def test_upstream_request__full_form_below_the_source(identity: str, path: str) -> None:
    source = UpstreamSource(1, "npm", "npm", "https://registry.example.com/base/")
    asked = NPM.upstream.upstream_request(identity, source)
    assert (asked.url, asked.accept) == (f"https://registry.example.com/base/{path}", "application/json")


def test_entry_identities__packument_first_then_the_small_document() -> None:
    assert NPM.documents.entry_identities(FileName("npm", "@s/n", "-", "n-1.0.0.tgz")) == (
        "packument/@s/n",
        "version/@s/n/1.0.0",
    )
    assert NPM.documents.entry_identities(FileName("npm", "n", "-", "other-1.0.0.tgz")) == ("packument/n",)
