"""Reading an HTML index: attributes, bases, fragments; login pages and traps refused."""

from __future__ import annotations

import pytest

from shared.errors import UpstreamInvalid
from tests.shared.protocols.pypi.support import (
    links,
    read,
    read_with_drops,
    rendered_html,
    rendered_json,
)

SHA = "0123456789abcdef" * 4


def test_html__all_attributes__become_pep_691_keys() -> None:
    anchor = (
        f'<a href="../../f/demo-1.0-py3-none-any.whl#sha256={SHA.upper()}"'
        ' data-requires-python="&gt;=3.8,&lt;4"'
        f' data-yanked="broken &amp; &quot;bad&quot;" data-core-metadata="sha256={SHA}" data-gpg-sig="true"'
        ' data-provenance="https://index.example.com/p?a=1&amp;b=2">demo-1.0-py3-none-any.whl</a>'
    )
    assert rendered_json(read(links(anchor))) == {
        "meta": {"api-version": "1.0"},
        "name": "demo",
        "files": [
            {
                "filename": "demo-1.0-py3-none-any.whl",
                "url": f"../../files/demo/{SHA}/demo-1.0-py3-none-any.whl",
                "hashes": {"sha256": SHA},
                "requires-python": ">=3.8,<4",
                "yanked": 'broken & "bad"',
                "core-metadata": {"sha256": SHA},
                "gpg-sig": True,
                "provenance": "https://index.example.com/p?a=1&b=2",
            }
        ],
    }


@pytest.mark.parametrize(
    ("attribute", "key", "value"),
    [
        ("data-yanked", "yanked", True),
        ('data-yanked=""', "yanked", True),
        ('data-core-metadata="true"', "core-metadata", True),
        ('data-dist-info-metadata="true"', "core-metadata", True),
        (f'data-dist-info-metadata="sha256={SHA}"', "core-metadata", {"sha256": SHA}),
        ('data-core-metadata="sha256=junk"', "core-metadata", True),
        ('data-gpg-sig="false"', "gpg-sig", False),
        ("DATA-REQUIRES-PYTHON='>=3'", "requires-python", ">=3"),
    ],
)
def test_html__attribute__is_read(attribute: str, key: str, value: object) -> None:
    file = read(links(f'<a href="demo-1.0.tar.gz" {attribute}>demo-1.0.tar.gz</a>')).page["files"][0]
    assert file[key] == value


@pytest.mark.parametrize(
    ("head", "href", "url"),
    [
        ("", "demo-1.0.tar.gz", "https://index.example.com/simple/demo/demo-1.0.tar.gz"),
        (
            '<base href="https://f.example.com/x/">',
            "demo-1.0.tar.gz",
            "https://f.example.com/x/demo-1.0.tar.gz",
        ),
        (
            '<base href="../files/">',
            "demo-1.0.tar.gz",
            "https://index.example.com/simple/files/demo-1.0.tar.gz",
        ),
        (
            '<base href="javascript:x">',
            "demo-1.0.tar.gz",
            "https://index.example.com/simple/demo/demo-1.0.tar.gz",
        ),
        (
            '<base href="http://[">',
            "demo-1.0.tar.gz",
            "https://index.example.com/simple/demo/demo-1.0.tar.gz",
        ),
        ("", "\n  demo-1.0.tar.gz\n", "https://index.example.com/simple/demo/demo-1.0.tar.gz"),
        ("", "/f/\n\tdemo-1.0.tar.gz", "https://index.example.com/f/demo-1.0.tar.gz"),
        ("", "/a%20b/demo-1.0%2Blocal.tar.gz", "https://index.example.com/a%20b/demo-1.0%2Blocal.tar.gz"),
    ],
)
def test_html__base_and_relative_links__become_absolute(head: str, href: str, url: str) -> None:
    document = read(links(f'<a href="{href}">x</a>', head=head))
    assert document.page["files"][0]["url"] == url


@pytest.mark.parametrize(
    ("fragment", "hashes"),
    [
        (f"#sha256={SHA}", {"sha256": SHA}),
        (f"#md5={SHA[:32]}", {"md5": SHA[:32]}),
        (f"#egg=demo-1.0&sha256={SHA}", {"sha256": SHA}),
        (f"#sha256={SHA}&egg=demo", {"sha256": SHA}),
        (
            f"#md5={SHA[:32]}&amp;sha1={SHA[:40]};sha256={SHA}",
            {"md5": SHA[:32], "sha1": SHA[:40], "sha256": SHA},
        ),
        (f"#SHA256={SHA.upper()}", {"sha256": SHA}),
        (f"#sha1={SHA[:40]}", {"sha1": SHA[:40]}),
        (f"#sha512={SHA * 2}", {"sha512": SHA * 2}),
        (f"#sha256=short&md5={SHA[:32]}", {"md5": SHA[:32]}),
        (f"#blake2b={SHA * 2}", {"blake2b": SHA * 2}),
        (f"#blake2b={SHA}&sha256={SHA}", {"sha256": SHA}),
        (f"#sha3_256={SHA}", {"sha3_256": SHA}),
        (f"#xsha256={SHA}", {}),
        ("#sha256=", {}),
        ("", {}),
        ("#egg=demo", {}),
    ],
)
def test_html__fragment__gives_the_hash(fragment: str, hashes: dict[str, str]) -> None:
    document = read(links(f'<a href="demo-1.0.tar.gz{fragment}">demo-1.0.tar.gz</a>'))
    assert document.page["files"][0]["hashes"] == hashes


@pytest.mark.parametrize("fragment", ["#sha256=short", f"#sha256={SHA[:32]}", "#egg=demo&md5=zz"])
def test_html__digest_that_cannot_be_read__costs_the_entry_not_the_page(fragment: str) -> None:
    """To go on without it would be to trust what the index told not to trust (pip refuses the file)."""
    document, dropped = read_with_drops(
        links(f'<a href="demo-1.0.tar.gz{fragment}">x</a>', '<a href="demo-1.1.tar.gz">x</a>')
    )
    assert [file["filename"] for file in document.page["files"]] == ["demo-1.1.tar.gz"]
    assert "no readable digest" in dropped[0]


@pytest.mark.parametrize(
    "body",
    [
        links('<a href="demo-1.0.tar.gz">x</a>', head="<form action=/search><input name=q></form>"),
        links('<a href="Demo-1.0.zip">x</a>', head="<form><input type=password name=p></form>"),
        '<form><a href="demo-1.0.tar.gz">demo-1.0.tar.gz</a></form>',
        "<h1>Links for demo</h1><form><input type=search></form>",
    ],
)
def test_html__index_with_a_search_or_login_box__is_an_index(body: str) -> None:
    assert rendered_json(read(body))["name"] == "demo"


def test_html__link_into_version_control__is_dropped_and_says_so() -> None:
    document, dropped = read_with_drops(
        links('<a href="git+https://git.example.com/x.git@v1#egg=demo-1.0">demo-1.0.tar.gz</a>')
    )
    assert document.page["files"] == []
    assert "version control" in dropped[0]


def test_html__base_by_http_on_the_indexs_own_host__is_asked_by_https() -> None:
    document = read(
        links('<a href="demo-1.0.tar.gz">x</a>', head='<base href="http://index.example.com/f/">')
    )
    assert document.page["files"][0]["url"] == "https://index.example.com/f/demo-1.0.tar.gz"


def test_html__filename_only_in_the_text__is_taken_from_there() -> None:
    document = read(links('<a href="/download?id=7">demo-1.0.tar.gz</a>'))
    assert document.page["files"][0]["filename"] == "demo-1.0.tar.gz"
    assert document.page["files"][0]["url"] == "https://index.example.com/download?id=7"


def test_html__meta__status_tracks_and_version_are_kept() -> None:
    head = (
        '<meta name="pypi:repository-version" content="1.3">'
        '<meta name="pypi:project-status" content="archived">'
        '<meta name="pypi:project-status-reason" content="a &lt;b&gt;">'
        '<meta name="pypi:tracks" content="https://o.example.com/demo/">'
        '<meta name="pypi:alternate-locations" content="https://p.example.com/demo/">'
    )
    document = read(links(head=head))
    served = rendered_json(document)
    assert served["meta"] == {"api-version": "1.0", "tracks": ["https://o.example.com/demo/"]}
    assert served["project-status"] == {"status": "archived", "reason": "a <b>"}
    assert served["alternate-locations"] == ["https://p.example.com/demo/"]
    for line in head.replace("><", ">\n<").splitlines():
        assert line in rendered_html(document)


@pytest.mark.parametrize(
    "body",
    [
        "<html><title>Sign in</title><form action=/login><input type=password></form></html>",
        "<title>Sign in</title><form><input type=password></form><a href='client-1.0.zip'>client</a>",
        "<title>Links for demo</title><form><input type=Password></form>",
        "<html><title>Welcome</title><a href='/help'>help</a></html>",
        "<html></html>",
        "not html at all",
        links(head='<meta name="pypi:repository-version" content="2.0">'),
        links(head='<meta name="pypi:repository-version" content="12">'),
    ],
)
def test_html__no_index__is_refused(body: str) -> None:
    with pytest.raises(UpstreamInvalid):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        links(),
        '<meta name="pypi:repository-version" content="1.0">',
        "<h1>Links for demo</h1>",
        "<title>Simple index</title>",
    ],
)
def test_html__index_without_files__is_an_empty_index(body: str) -> None:
    assert rendered_json(read(body))["files"] == []


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)//demo-1.0.tar.gz", "data:,demo-1.0.tar.gz", "..", "#", ""]
)
def test_html__hostile_or_other_link__is_dropped_and_counted(href: str) -> None:
    document, dropped = read_with_drops(links(f'<a href="{href}">x</a>', "<a name=top>top</a>"))
    assert document.page["files"] == []
    assert len(dropped) == 1


@pytest.mark.parametrize(
    "body",
    ["<div>" * 50_000, "<ul><li>" * 50_000, "<b>" * 50_000, "<a " + "x=y " * 50_000 + ">", "<a>" * 1_000_001],
)
def test_html__built_to_cost_quadratic_time__is_refused_before_parsing(body: str) -> None:
    with pytest.raises(UpstreamInvalid, match=r"nested|64 kB|links"):
        read(body)


def test_html__directory_listing_with_unclosed_items__is_read() -> None:
    body = "<title>Index of /demo</title><ul>" + "".join(
        f"<li><a href=demo-{n}.0.tar.gz>demo-{n}.0.tar.gz</a>" for n in range(3000)
    )
    assert len(read(body).page["files"]) == 3000


def test_html__charset__of_the_content_type_counts() -> None:
    body = links('<a href="demo-1.0.tar.gz" data-yanked="caf\xe9">demo-1.0.tar.gz</a>').encode("latin-1")
    assert read(body, content_type="text/html; charset=ISO-8859-1").page["files"][0]["yanked"] == "café"
    assert read(body, content_type="text/html; charset=punycode").page["files"][0]["yanked"] == "caf\ufffd"


def test_root__as_html__lists_projects_once_each() -> None:
    body = (
        "<title>Simple index</title><a href='flask/'>Flask</a><a href='/simple/a-b/'>a.b</a>"
        "<a href='flask/'>Flask</a><a href='../'>parent</a><a href='/login'>log in</a>"
    )
    document, dropped = read_with_drops(body, project="")
    assert rendered_json(document)["projects"] == [{"name": "Flask"}, {"name": "a.b"}]
    assert '<a href="a-b/">a.b</a>' in rendered_html(document)
    assert len(dropped) == 2


def test_html__nul_and_bad_utf8__never_reach_the_document() -> None:
    body = links('<a href="demo-1.0.tar.gz" data-yanked="a\0b">demo-1.0.tar.gz</a>').encode() + b"\xff\xfe"
    assert "\0" not in read(body, content_type="text/html").page["files"][0]["yanked"]
