"""Reading a JSON index: what is kept, what is dropped and counted, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import UpstreamInvalid
from tests.shared.protocols.pypi.support import (
    JSON,
    PYPI,
    entry,
    page,
    read,
    read_with_drops,
    rendered_json,
)


def test_json__unknown_keys_at_all_levels__are_kept() -> None:
    upstream = page(
        entry(**{"x-file": {"deep": [1, None]}, "upload-time": "2024-01-02T03:04:05.678901Z", "size": 5}),
        **{
            "x-top": 1,
            "versions": ["1.0"],
            "project-status": {"status": "archived", "reason": "enough", "x": 2},
            "alternate-locations": ["https://other.example.com/simple/demo/"],
        },
    )
    upstream["meta"] = {"api-version": "1.4", "_last-serial": 9, "tracks": ["https://o.example.com/demo/"]}
    served = rendered_json(read(upstream))
    served["files"][0].pop("url"), upstream["files"][0].pop("url")
    upstream["files"][0]["core-metadata"] = True
    assert served == upstream


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.4", "1.17"])
def test_json__api_version__is_kept_as_the_data_is(version: str) -> None:
    assert rendered_json(read(page(meta={"api-version": version})))["meta"]["api-version"] == version


def test_json__without_meta_and_name__is_api_version_1_0() -> None:
    served = rendered_json(read({"files": []}))
    assert served == {"files": [], "meta": {"api-version": "1.0"}, "name": "demo"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"null",
        b"[]",
        b"{}",
        b"3",
        b'{"files": {}}',
        b'{"files": null}',
        b'{"error": "no"}',
        b'{"files": []',
        b'{"files": [], "x": ' + b"9" * 5000 + b"}",
        b'{"files":' + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"files": [], "name": "another"}',
        b'{"files": [], "meta": {"api-version": "2.0"}}',
        b'{"files": [], "meta": {"api-version": 2}}',
        b'{"files": [], "meta": {"api-version": 10.1}}',
        b"<html><body>Sign in</body></html>",
    ],
)
def test_json__not_an_index__is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        read(body, content_type=JSON)


@pytest.mark.parametrize(
    ("meta", "shown"),
    [
        ('{"api-version": "1.1"}', "1.1"), ('{"api-version": 1.0}', "1.0"), ('{"api-version": 1.1}', "1.1"),
        ('{"api-version": 1}', "1.0"), ('{"api-version": "1"}', "1.0"), ('{"api-version": "1.0.0"}', "1.0"),
        ('{"api-version": null}', "1.0"), ('{"api-version": true}', "1.0"), ('{"api-version": "v1"}', "1.0"),
        ('{"api-version": []}', "1.0"), ("{}", "1.0"), ("null", "1.0"), ("[]", "1.0"), ('"1.0"', "1.0"),
    ],
)  # fmt: skip
def test_json__api_version__in_whatever_form_no_client_minds(meta: str, shown: str) -> None:
    body = f'{{"files": [], "meta": {meta}, "name": 3}}'.encode()
    assert rendered_json(read(body, content_type=JSON))["meta"]["api-version"] == shown


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"status": "archived", "reason": "old"}, {"status": "archived", "reason": "old"}),
        ("quarantined", {"status": "quarantined"}),
        ({"status": "archived", "reason": 3, "x": 1}, {"status": "archived", "x": 1}),
        ({"status": None}, {}),
        (None, None),
        ([], None),
    ],
)
def test_json__project_status__in_a_shape_that_uv_reads(told: Any, shown: Any) -> None:
    document = read(page(entry(), **{"project-status": told}))
    assert rendered_json(document).get("project-status") == shown
    assert len(document.page["files"]) == 1


@pytest.mark.parametrize("hashes", [{"sha256": "abc"}, {"sha256": 3}, "md5=abc", {"md5": "z" * 32}])
def test_json__digest_that_cannot_be_read__costs_the_entry_not_the_page(hashes: Any) -> None:
    document, dropped = read_with_drops(page(entry(hashes=hashes)))
    assert document.page["files"] == []
    assert "no readable digest" in dropped[0]


def test_json__digest_in_the_urls_fragment__is_kept_beside_the_others() -> None:
    url = f"https://files.example.com/demo-1.0.zip#egg=demo&sha256={'a' * 64}"
    file = read(page(entry("demo-1.0.zip", url=url, hashes={"md5": "d" * 32}))).page["files"][0]
    assert file["hashes"] == {"sha256": "a" * 64, "md5": "d" * 32}


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("yanked", "", False), ("yanked", 1, True), ("yanked", {"why": 1}, True), ("yanked", "why", "why"),
        ("core-metadata", "true", True), ("core-metadata", f"sha256={'A' * 64}", {"sha256": "a" * 64}),
        ("core-metadata", {"sha256": 3}, True),
        ("upload-time", "2024-01-02T03:04:05", "2024-01-02T03:04:05Z"),
        ("upload-time", "2024-01-02 03:04:05+02:00", "2024-01-02T01:04:05Z"),
        ("upload-time", "2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:05.123456789Z"),
        ("upload-time", "2024-01-02", "2024-01-02T00:00:00Z"),
        ("provenance", None, None),
    ],
)  # fmt: skip
def test_json__field_in_another_form__is_mended(key: str, value: Any, shown: Any) -> None:
    assert rendered_json(read(page(entry(**{key: value}))))["files"][0][key] == shown


@pytest.mark.parametrize(
    "key", ["size", "requires-python", "upload-time", "yanked", "core-metadata", "gpg-sig"]
)
@pytest.mark.parametrize("value", [None, [], 5.5, -1, {}, "x" * 3, 1 << 70])
def test_json__any_field_of_any_type__never_costs_the_page(key: str, value: Any) -> None:
    file = rendered_json(read(page(entry(**{key: value}))))["files"][0]
    assert (
        type(file.get(key))
        in {
            "size": (type(None), int),
            "requires-python": (type(None), str),
            "upload-time": (type(None), str),
            "yanked": (type(None), bool, str),
            "core-metadata": (type(None), bool, dict),
            "gpg-sig": (type(None), bool),
        }[key]
    )
    assert key not in file or file[key] is not None or key == "requires-python"


def test_json__nested_just_below_the_parsers_limit__is_kept_or_refused_but_never_raises_otherwise() -> None:
    for depth in (100, 500, 900, 1000, 1100):
        body = b'{"files": [], "x": ' + b"[" * depth + b"]" * depth + b"}"
        try:
            read(body, content_type=JSON)
        except UpstreamInvalid:
            continue


@pytest.mark.parametrize("told", ["", "  ", None, 3])
def test_json__name_that_says_nothing__is_the_project_asked_for(told: object) -> None:
    assert rendered_json(read(page(name=told)))["name"] == "demo"


def test_json__name_in_another_spelling__is_the_same_project() -> None:
    assert rendered_json(read(page(name="De.mo_X"), project="de-mo-x"))["name"] == "De.mo_X"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://f.example.com/x.whl",
        "http://",
        "https:///x.whl",
        "http://[::1/x.whl",
        "http://h.example.com:port/x.whl",
        "https://h.example.com\\@evil.example.com/x",
        "https://h.example.com/" + "a" * 9000,
        "mailto:a@b.example",
    ],
)
def test_json__hostile_link__is_dropped_and_counted(url: str) -> None:
    document, dropped = read_with_drops(page(entry(url=url), entry("demo-2.0.tar.gz")))
    assert [file["filename"] for file in document.page["files"]] == ["demo-2.0.tar.gz"]
    assert len(dropped) == 1


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "..",
        "../x.whl",
        "a/b.whl",
        "x.txt",
        'x".whl',
        "<script>.whl",
        "x\n.whl",
        "x\0.whl",
        ".whl",
        "é.whl",
        "x.whl.metadata",
        "-x.whl",
        "a" * 256 + ".whl",
        "x%2f.whl",
        "x .whl",
    ],
)
def test_json__unsafe_filename__is_dropped_and_counted(filename: str) -> None:
    document, dropped = read_with_drops(page(entry(filename)))
    assert document.page["files"] == []
    assert len(dropped) == 1
    assert all(reason.isascii() and "\n" not in reason and len(reason) < 200 for reason in dropped)


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("https://f.example.com/a/demo.whl", "https://f.example.com/a/demo.whl"),
        ("../../packages/demo.whl", "https://index.example.com/packages/demo.whl"),
        ("/packages/demo.whl?sig=a%20b#sha256=ff", "https://index.example.com/packages/demo.whl?sig=a%20b"),
        ("demo.whl", "https://index.example.com/simple/demo/demo.whl"),
        ("//f.example.com/demo.whl", "https://f.example.com/demo.whl"),
        ("https://f.example.com/a b/é.whl", "https://f.example.com/a%20b/%C3%A9.whl"),
        ("https://user:secret@f.example.com/demo.whl", "https://f.example.com/demo.whl"),
        ("HTTPS://f.example.com:8443/demo.whl", "https://f.example.com:8443/demo.whl"),
        ("a/../../../packages/demo.whl", "https://index.example.com/packages/demo.whl"),
        ("http://[::1]:8000/demo.whl", "http://[::1]:8000/demo.whl"),
    ],
)
def test_link__any_spelling__is_kept_absolute_without_fragment_and_userinfo(url: str, absolute: str) -> None:
    document = read(page(entry(url=url)))
    assert document.page["files"][0]["url"] == absolute
    assert (
        b"secret"
        not in PYPI.documents.read_index(
            "simple/demo",
            _source(),
            url="https://index.example.com/simple/demo/",
            content_type=JSON,
            body=json.dumps(page(entry(url=url))).encode(),
        ).body
    )


def _source() -> Any:
    from tests.shared.protocols.pypi.support import SOURCE

    return SOURCE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "5"),
        ("size", -1),
        ("size", 1 << 70),
        ("size", True),
        ("requires-python", 3),
        ("upload-time", 1),
        ("upload-time", "yesterday"),
        ("upload-time", "2024-13-01T00:00:00Z"),
        ("size", 5.0),
        ("yanked", []),
        ("core-metadata", "x"),
        ("provenance", {}),
        ("gpg-sig", "yes"),
    ],
)
def test_json__value_of_a_wrong_type__is_removed_so_that_clients_read_the_page(key: str, value: Any) -> None:
    document, dropped = read_with_drops(page(entry(**{key: value})))
    left = document.page["files"][0]
    assert key not in left or (key == "core-metadata" and left[key] is True)  # of a wheel it is there
    assert len(dropped) == 1


@pytest.mark.parametrize(
    ("hashes", "kept"),
    [
        ({"sha256": "A" * 64}, {"sha256": "a" * 64}),
        ({"SHA-256": "a" * 64}, {"sha256": "a" * 64}),
        (f"sha256={'a' * 64}", {"sha256": "a" * 64}),
        ({"sha256": None}, {}),
        ({"sha256": ""}, {}),
        ([], {}),
        (None, {}),
        ({"md5": "d" * 32}, {"md5": "d" * 32}),
        ({"sha256": "zz" * 32, "md5": "d" * 32}, {"md5": "d" * 32}),
        ({"sha256": "a" * 64, "blake2b": "0f"}, {"sha256": "a" * 64}),
        ({"sha256": "a" * 64, "blake2b": "b" * 64}, {"sha256": "a" * 64}),  # of 256 bits: another function
        ({"sha256": "a" * 64, "blake2b_256": "0f"}, {"sha256": "a" * 64, "blake2b_256": "0f"}),
        ({"x": '"><script>'}, {}),
    ],
)
def test_json__hashes__only_digests_are_kept_and_the_key_is_always_there(hashes: Any, kept: Any) -> None:
    assert rendered_json(read(page(entry(hashes=hashes))))["files"][0]["hashes"] == kept


def test_json__old_metadata_key__comes_out_under_the_new_one() -> None:
    files = [entry(**{"dist-info-metadata": {"sha256": "B" * 64}})]
    served = rendered_json(read(page(*files)))["files"][0]
    assert served["core-metadata"] == {"sha256": "b" * 64}
    assert "dist-info-metadata" not in served  # PEP 714: it makes pip 22.3 to 23.1 fail


def test_json__content_type_unhelpful__is_told_by_the_first_character() -> None:
    body = json.dumps(page(entry())).encode()
    assert len(read(body, content_type="application/octet-stream").page["files"]) == 1


def test_root__as_json__keeps_projects_and_drops_impossible_names() -> None:
    upstream = {
        "meta": {"api-version": "1.1", "_last-serial": 3},
        "projects": [{"name": "Flask", "_last-serial": 1}, {"name": "../x"}, {"name": 3}, "x"],
    }
    document, dropped = read_with_drops(upstream, project="")
    assert rendered_json(document) == {**upstream, "projects": [{"name": "Flask", "_last-serial": 1}]}
    assert len(dropped) == 3


def test_document__of_another_format__is_refused() -> None:
    body = PYPI.documents.read_index(
        "simple/demo", _source(), url="https://i.example.com/", content_type=JSON, body=b'{"files": []}'
    ).body
    assert PYPI.documents.decode_document(body).project == "demo"
    for broken in (body.replace(b'"format":1', b'"format":2'), b"", b"[]", body[:-1]):
        with pytest.raises(UpstreamInvalid):
            PYPI.documents.decode_document(broken)


def test_document__bytes__are_the_same_for_the_same_answer() -> None:
    assert read(page(entry())).envelope == read(page(entry())).envelope
