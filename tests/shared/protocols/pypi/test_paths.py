"""The grammar: what each path names, and what is refused before a key is made."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import MalformedRequest, MethodNotAllowed, OrchardError, RouteNotFound, UriTooLong
from shared.models import FileName
from shared.protocols.resource import Redirect, Resource
from tests.shared.protocols.pypi.support import PYPI, classify

SHA = b"0123456789abcdef" * 4
STABLE = b"id-" + b"0123456789" * 4
WHEEL = b"demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("path", "identity", "project", "version"),
    [
        (b"/simple/", "simple/", "", ""),
        (b"/simple/flask/", "simple/flask", "flask", ""),
        (b"/simple/fl%61sk/", "simple/flask", "flask", ""),
        (b"/pypi/flask/json", "json/flask", "flask", ""),
        (b"/pypi/flask/1.0%2Bcu118/json", "json/flask/1.0+cu118", "flask", "1.0+cu118"),
        (b"/pypi/json/json", "json/json", "json", ""),
    ],
)
def test_path__names_an_index__canonical_identity(
    path: bytes, identity: str, project: str, version: str
) -> None:
    resource = classify(path)
    assert (resource.kind, resource.identity) == ("index", identity)
    assert (resource.project, resource.version) == (project, version)
    assert PYPI.grammar.project_of(identity) == project


def test_legacy_json__differs_per_base_url__and_ignores_accept() -> None:
    resource = classify(b"/pypi/flask/json", accept="text/plain")
    assert resource.per_base_url
    assert (resource.representation, resource.content_type) == ("json", "application/json")
    assert resource.vary == "Accept-Encoding"


@pytest.mark.parametrize("file_id", [SHA, STABLE])
@pytest.mark.parametrize(
    "filename",
    [
        WHEEL,
        WHEEL + b".metadata",
        WHEEL + b".asc",
        b"demo-1.0.tar.gz",
        b"Demo_Pkg-1.0+local.1!2~x.zip",
        b"torch-2.0%2Bcu118-cp311-cp311-linux_x86_64.whl",
        b"demo-1.0.win32-py2.7.exe",
    ],
)
def test_path__names_a_file__same_as_artifact_resource(file_id: bytes, filename: bytes) -> None:
    resource = classify(b"/files/demo/%s/%s" % (file_id, filename))
    name = filename.decode().replace("%2B", "+")
    assert resource == PYPI.grammar.artifact_resource(FileName("pypi", "demo", file_id.decode(), name))
    assert resource.identity == f"demo/{file_id.decode()}/{name}"
    promises_digest = file_id == SHA and not name.endswith((".metadata", ".asc"))
    assert resource.sha256 == (SHA.decode() if promises_digest else "")
    assert resource.content_codings == ("identity",)


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/simple", "/simple/"),
        ("/simple/flask", "/simple/flask/"),
        ("/simple/Foo.Bar__baz", "/simple/foo-bar-baz/"),
        ("/simple/Foo.Bar__baz/", "/simple/foo-bar-baz/"),
        ("/pypi/Foo.Bar/json", "/pypi/foo-bar/json"),
        ("/pypi/Foo.Bar/1.0/json", "/pypi/foo-bar/1.0/json"),
        ("/pypi/flask/json/", "/pypi/flask/json"),
        ("/pypi/flask/1.0/json/", "/pypi/flask/1.0/json"),
    ],
)
@pytest.mark.parametrize("mount", ["/pypi", "/v/yesterday/pypi", "/tools/orchard/pypi", ""])
def test_redirect__other_spelling__one_relative_step_under_any_mount(
    path: str, leads_to: str, mount: str
) -> None:
    redirect = classify(path.encode())
    assert isinstance(redirect, Redirect)
    assert not redirect.location.startswith(("/", "http"))
    assert urljoin(f"https://orchard.example.com{mount}{path}", redirect.location) == (
        f"https://orchard.example.com{mount}{leads_to}"
    )
    assert isinstance(classify(leads_to.encode()), Resource)


def test_redirect__format_in_query__is_kept_and_nothing_else() -> None:
    query = b"x=1&format=application/vnd.pypi.simple.v1%2Bjson&y=//evil.example.com"
    redirect = classify(b"/simple/Flask", query=query)
    assert redirect.location == "flask/?format=application/vnd.pypi.simple.v1%2Bjson"
    assert classify(b"/simple/Flask", query=b"format=%0d%0aSet-Cookie:x").location == "flask/"


@pytest.mark.parametrize(
    "path",
    [
        b"/simple/../x/",
        b"/simple/%2e%2e/",
        b"/simple/..%2f",
        b"/simple/%2f%2f..%2f/",
        b"/simple/./x/",
        b"/simple/%252e%252e/",
        b"/simple/a\\b/",
        b"/simple/a%5cb/",
        b"/simple/a;x=y/",
        b"/simple/a%3bx/",
        b"/simple/%00/",
        b"/simple/a%0d%0ab/",
        b"/simple/a%7f/",
        b"/simple/a\x00/",
        b"/simple/a%20b/",
        b"/simple/%ff/",
        b"/simple/\xff/",
        b"/simple/%c0%ae/",
        b"/simple/%ed%a0%80/",
        b"/simple/%/",
        b"/simple/%zz/",
        b"/simple/%e2%84%aa/",
        b"/simple/\xef\xbd\x86oo/",
        b"/simple/%d0%b0bc/",
        b"/simple/%e2%80%aeabc/",
        b"//simple/x/",
        b"/simple//x/",
        b"/simple/x//",
        b"//evil.example.com/x",
        b"/simple/-/",
        b"/simple/./",
        b"/simple/../",
        b"/simple/-a/",
        b"/simple/a-/",
        b"/simple/_/",
        b"/simple/" + b"a" * 201 + b"/",
        b"simple/",
        b"",
        b"/simple/@x/",
        b"/simple/__proto__/",
        b"/files/demo/" + SHA + b"/..",
        b"/files/../" + SHA + b"/" + WHEEL,
        b"/files/demo/" + SHA + b"/..%2f..%2fx.whl",
        b"/files/demo/" + SHA + b"/x%00.whl",
        b"/files/demo/" + SHA + b"/" + b"a" * 300 + b".whl",
        b"/files/-/" + SHA + b"/" + WHEEL,
        b"/pypi/flask/../json",
        b"/pypi/flask/-1/json",
        b"/pypi/-/json",
    ],
)
def test_path__malformed__is_refused_with_400(path: bytes) -> None:
    with pytest.raises(MalformedRequest):
        classify(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/simples/",
        b"/simple/flask/extra",
        b"/simple/flask/extra/",
        b"/files/",
        b"/files/demo/",
        b"/files/demo/" + SHA,
        b"/files/demo/" + SHA + b"/",
        b"/files/Demo/" + SHA + b"/" + WHEEL,
        b"/files/demo/" + SHA.upper() + b"/" + WHEEL,
        b"/files/demo/" + SHA[:63] + b"/" + WHEEL,
        b"/files/demo/id-xyz/" + WHEEL,
        b"/files/demo/" + SHA + b"/demo.txt",
        b"/files/demo/" + SHA + b"/.whl",
        b"/files/demo/" + SHA + b"/" + WHEEL + b".metadata.metadata",
        b"/files/demo/" + SHA + b"/.metadata",
        b"/files/demo/" + SHA + b"/demo'1.whl",
        b"/files/demo/" + SHA + b"/demo<1.whl",
        b"/pypi/flask/",
        b"/pypi/flask/1.0",
        b"/pypi/",
        b"/pypi/flask/1.0/xml",
    ],
)
def test_path__unknown__is_refused_with_404(path: bytes) -> None:
    with pytest.raises(RouteNotFound):
        classify(path)


def test_path__over_2_kb__is_refused_with_414() -> None:
    with pytest.raises(UriTooLong):
        classify(b"/simple/" + b"a" * 2048 + b"/")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "CONNECT", "get"])
def test_method__other_than_get_and_head__is_refused(method: str) -> None:
    with pytest.raises(MethodNotAllowed):
        classify(b"/simple/", method=method)


def test_method__head__names_what_get_names() -> None:
    assert classify(b"/simple/flask/", method="HEAD") == classify(b"/simple/flask/")


@pytest.mark.parametrize("query", [b"", b"x=1", b"refresh=true", b"x=1&x=2", b"\xff%zz&&==", b"a=" * 500])
def test_query__other_than_format__never_changes_the_resource(query: bytes) -> None:
    assert classify(b"/simple/flask/", query=query) == classify(b"/simple/flask/")
    path = b"/files/demo/" + SHA + b"/" + WHEEL
    assert classify(path, query=query) == classify(path)


@given(st.binary(max_size=60))
def test_path__any_bytes__give_a_value_or_a_typed_refusal(tail: bytes) -> None:
    for path in (
        tail,
        b"/" + tail,
        b"/simple/" + tail,
        b"/files/demo/" + SHA + b"/" + tail,
        b"/pypi/" + tail,
    ):
        try:
            result = classify(path, query=tail)
        except OrchardError as error:
            assert 400 <= error.status < 500
        else:
            text = result.location if isinstance(result, Redirect) else result.identity
            assert (
                text.isascii() and text.isprintable() and ".." not in text.removeprefix("../").split("/")[1:]
            )


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,40}[A-Za-z0-9])?", fullmatch=True))
def test_project__any_valid_spelling__ends_at_one_identity_in_one_step(name: str) -> None:
    path = f"/simple/{name}/"
    result = classify(path.encode())
    if isinstance(result, Redirect):
        result = classify(urljoin(path, result.location).encode())
    assert isinstance(result, Resource)
    assert result.identity == PYPI.grammar.index_identity(result.project)
    escaped = "".join(f"%{ord(character):02x}" for character in name)
    second = classify(f"/simple/{escaped}/".encode())
    assert isinstance(second, Redirect) or second == result
