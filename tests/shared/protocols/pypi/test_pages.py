"""Rendering pages: relative links, escaping, sealed facts merged in; what was shown stays."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest
from selectolax.lexbor import LexborHTMLParser

from shared.errors import UpstreamInvalid
from shared.models import SealedFile
from shared.protocols.pypi.document import Document
from shared.protocols.pypi.names import stable_id
from shared.protocols.resource import Resource
from tests.shared.protocols.pypi.support import (
    HTML,
    PYPI,
    SOURCE,
    TEXT,
    classify,
    entry,
    links,
    named,
    page,
    read,
    read_with_drops,
    render,
    rendered_html,
    rendered_json,
)

WHEEL = "demo-1.0-py3-none-any.whl"
A, B, M, N = "a" * 64, "b" * 64, "c" * 64, "d" * 64
STABLE = stable_id("main", "demo", WHEEL)


def sealed(file_id: str = A, sha256: str = A, *, metadata: str = "", size: int = 777) -> SealedFile:
    return SealedFile(WHEEL, file_id, sha256, size, metadata)


def anchor(document: Any, **kwargs: Any) -> dict[str, str | None]:
    node = LexborHTMLParser(rendered_html(document, **kwargs)).css_first("a")
    assert node is not None
    return node.attributes


def test_links__of_both_representations__lead_to_the_files_resource_under_any_mount() -> None:
    document = read(page(entry()))
    for mount in ("/pypi", "/v/x/pypi", "/base/path/pypi"):
        here = f"https://orchard.example.com{mount}/simple/demo/"
        for link in (rendered_json(document)["files"][0]["url"], anchor(document)["href"]):
            target = urljoin(here, link).partition("#")[0]
            path = target.removeprefix(f"https://orchard.example.com{mount}")
            assert isinstance(classify(path.encode()), Resource)
            assert classify(path.encode()) == PYPI.grammar.artifact_resource(named(A, WHEEL))


def test_links__in_html__carry_the_strongest_hash() -> None:
    assert anchor(read(page(entry())))["href"] == f"../../files/demo/{A}/{WHEEL}#sha256={A}"
    md5_only = read(page(entry(hashes={"md5": "e" * 32, "blake2b": "0f"})))
    assert anchor(md5_only)["href"] == f"../../files/demo/{STABLE}/{WHEEL}#md5={'e' * 32}"
    without = read(page(entry(hashes={})))
    assert anchor(without)["href"] == f"../../files/demo/{STABLE}/{WHEEL}"


def test_body__of_any_page__holds_no_upstream_address() -> None:
    for rendering in render(read(page(entry()))).values():
        assert b"example.com" not in rendering.body


def test_html__values_from_upstream__are_escaped() -> None:
    evil = "<script>\"'&</script>"
    document = read(
        page(
            entry(
                **{"requires-python": f">=3{evil}", "yanked": evil, "provenance": f"https://x.example/{evil}"}
            ),
            **{"project-status": {"status": "archived", "reason": evil}},
        )
    )
    text = rendered_html(document)
    assert "<script>" not in text
    attributes = anchor(document)
    assert attributes["data-requires-python"] == f">=3{evil}"
    assert attributes["data-yanked"] == evil
    reason = LexborHTMLParser(text).css_first('meta[name="pypi:project-status-reason"]')
    assert reason is not None and reason.attributes["content"] == evil


@pytest.mark.parametrize(
    ("yanked", "shown"), [(True, ""), ("why", "why"), ("", None), (False, None), (None, None)]
)
def test_html__yanked__is_an_attribute_whose_value_is_the_reason(yanked: Any, shown: str | None) -> None:
    attributes = anchor(read(page(entry(yanked=yanked))))
    assert ("data-yanked" in attributes) is (shown is not None)
    assert (attributes.get("data-yanked") or "") == (shown or "")


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [({"sha256": M}, f"sha256={M}"), (True, "true"), (False, "true"), ({}, "true"), (None, "true")],
)
def test_html__core_metadata__is_shown_under_both_names(metadata: Any, shown: str) -> None:
    attributes = anchor(read(page(entry(**{"core-metadata": metadata}))))
    assert attributes.get("data-core-metadata") == attributes.get("data-dist-info-metadata") == shown


@pytest.mark.parametrize("name", ["demo-1.0.tar.gz", "demo-1.0.zip", "demo-1.0-py3.11.egg", "demo-1.0.whl"])
def test_page__no_wheel_with_a_wheels_name__no_metadata_is_advertised(name: str) -> None:
    document = read(page(entry(name)))
    assert "core-metadata" not in rendered_json(document)["files"][0]
    assert PYPI.documents.find_file(document, named(A, f"{name}.metadata")) is None


def test_page__wheel_without_metadata_upstream__is_advertised_without_a_digest() -> None:
    (served,) = rendered_json(read(page(entry())))["files"]
    assert served["core-metadata"] is True


def test_html__repository_version__is_the_datas() -> None:
    assert 'content="1.4"' in rendered_html(read(page(meta={"api-version": "1.4"})))
    head = '<meta name="pypi:repository-version" content="1.3">'
    assert 'content="1.3"' in rendered_html(read(links(head=head)))
    assert 'content="1.0"' in rendered_html(read(links()))


def test_page__from_an_html_upstream__comes_back_the_same_as_html() -> None:
    first = read(page(entry(**{"requires-python": ">=3.8", "yanked": "why", "core-metadata": {"sha256": M}})))
    again = read(rendered_html(first))
    assert rendered_html(again).replace('"1.0"', '"1.1"') == rendered_html(first)


def test_rendering__content_types__are_the_representations_own() -> None:
    rendered = render(read(page()))
    assert rendered["json"].content_type == "application/vnd.pypi.simple.v1+json"
    assert rendered["html"].content_type == TEXT != HTML


def test_rendering__same_input__same_bytes() -> None:
    both = [render(read(page(entry(), x={"b": 1, "a": 2})), sealed=(sealed(metadata=M),)) for _ in range(2)]
    assert all(both[0][name].body == both[1][name].body for name in ("json", "html"))


def test_rendering__of_another_identity__is_refused() -> None:
    with pytest.raises(UpstreamInvalid):
        PYPI.pages.rewrite_index("simple/other", read(page()), sealed={}, base_url="")


def test_rendering__leaves_the_document_as_it_was() -> None:
    document = read(page(entry(hashes={})))
    before = msgspec.json.encode(document.envelope)
    render(document, sealed=(sealed(STABLE, A, metadata=M),))
    assert msgspec.json.encode(document.envelope) == before


# --- sealed facts ---------------------------------------------------------------------------------


def test_sealed__hash_unknown_upstream__is_added_and_the_url_stays() -> None:
    document = read(page(entry(hashes={"md5": "e" * 32})))
    before = rendered_json(document)["files"][0]
    after = rendered_json(document, sealed=(sealed(STABLE, A),))["files"][0]
    assert before["url"] == after["url"] == f"../../files/demo/{STABLE}/{WHEEL}"
    assert "size" not in before
    assert after["hashes"] == {"md5": "e" * 32, "sha256": A}
    assert after["size"] == 777


def test_sealed__under_a_stable_id__keeps_its_url_when_upstream_tells_the_hash_later() -> None:
    after = rendered_json(read(page(entry())), sealed=(sealed(STABLE, A),))["files"][0]
    assert after["url"] == f"../../files/demo/{STABLE}/{WHEEL}"
    assert after["hashes"] == {"sha256": A}


def test_sealed__under_both_ids__the_stable_one_was_shown_first_and_stays() -> None:
    served = rendered_json(read(page(entry())), sealed=(sealed(STABLE, A), sealed()))["files"][0]
    assert served["url"] == f"../../files/demo/{STABLE}/{WHEEL}"


def test_sealed__under_its_digest__keeps_its_url_when_upstream_no_longer_tells_it() -> None:
    after = rendered_json(read(page(entry(hashes={}))), sealed=(sealed(),))["files"][0]
    assert after["url"] == f"../../files/demo/{A}/{WHEEL}"
    assert after["hashes"] == {"sha256": A}


def test_sealed__other_size_told_upstream_later__the_stored_files_stays() -> None:
    assert rendered_json(read(page(entry(size=5))), sealed=(sealed(),))["files"][0]["size"] == 777


def test_sealed__metadata__is_advertised_and_wins_over_upstreams() -> None:
    upstream = entry(**{"core-metadata": {"sha256": N}, "data-dist-info-metadata": {"sha256": N}})
    for file in (entry(), upstream, entry(**{"core-metadata": True}), entry(**{"core-metadata": False})):
        document = read(page(file))
        served = rendered_json(document, sealed=(sealed(metadata=M),))["files"][0]
        assert served["core-metadata"] == {"sha256": M}
        assert served.get("data-dist-info-metadata", {"sha256": M}) == {"sha256": M}
        assert anchor(document, sealed=(sealed(metadata=M),))["data-core-metadata"] == f"sha256={M}"


def test_sealed__without_own_metadata__leaves_upstreams() -> None:
    for metadata in (True, {"sha256": N}):
        served = rendered_json(read(page(entry(**{"core-metadata": metadata}))), sealed=(sealed(),))
        assert served["files"][0]["core-metadata"] == metadata


def test_sealed__upstream_now_lists_other_bytes__clients_keep_seeing_the_first() -> None:
    upstream = entry(hashes={"sha256": B, "md5": "e" * 32}, size=5, **{"core-metadata": {"sha256": N}})
    upstream |= {"yanked": "bad", "provenance": "https://i.example.com/p"}
    document = read(page(upstream))
    for held in (sealed(), sealed(STABLE, A)):
        served = rendered_json(document, sealed=(held,))["files"][0]
        assert served == {
            "filename": WHEEL,
            "url": f"../../files/demo/{held.file_id}/{WHEEL}",
            "hashes": {"sha256": A},
            "size": 777,
            "yanked": "bad",
        }
        key = (held.file_id, WHEEL)
        assert PYPI.pages.mutated_files(document, {key: held}) == [(held, B)]


def test_sealed__both_bytes_accepted__the_entrys_own_are_shown() -> None:
    served = rendered_json(read(page(entry(hashes={"sha256": B}))), sealed=(sealed(), sealed(B, B)))
    assert served["files"][0]["hashes"] == {"sha256": B}
    assert PYPI.pages.mutated_files(read(page(entry())), {(A, WHEEL): sealed()}) == []


def test_sealed__two_entries_of_one_name_listed__each_keeps_its_own() -> None:
    document = read(page(entry(), entry(hashes={"sha256": B})))
    served = rendered_json(document, sealed=(sealed(),))["files"]
    assert [file["hashes"]["sha256"] for file in served] == [A, B]


def test_sealed__file_that_upstream_does_not_list__is_not_added() -> None:
    other = SealedFile("demo-0.1.tar.gz", B, B, 1)
    assert rendered_json(read(page(entry())), sealed=(other,)) == rendered_json(read(page(entry())))


# --- the legacy JSON API ----------------------------------------------------------------------------


def legacy(*files: dict[str, Any], **top_level: Any) -> dict[str, Any]:
    info = {"name": "De.mo", "home_page": "https://x.example/"}
    return {"info": info, "urls": list(files), "releases": {"1.0": list(files)}, **top_level}


def legacy_file(**keys: Any) -> dict[str, Any]:
    url = f"https://files.example.com/p/{WHEEL}"
    return {"filename": WHEEL, "url": url, "digests": {"sha256": A, "md5": "e" * 32}, "size": 3, **keys}


def test_legacy__file_urls__lead_to_orchard_and_all_else_is_untouched() -> None:
    upstream = legacy(legacy_file(unknown=[1]), vulnerabilities=[], last_serial=4)
    document, _ = read_with_drops(upstream, project="de-mo", identity="json/de-mo")
    base = "https://orchard.example.com/pypi"
    served = json.loads(render(document, base_url=base)["json"].body)
    url = f"{base}/files/de-mo/{A}/{WHEEL}"
    assert served["urls"][0]["url"] == served["releases"]["1.0"][0]["url"] == url
    for file in (*served["urls"], *served["releases"]["1.0"]):
        file["url"] = legacy_file()["url"]
    assert served == upstream
    assert PYPI.documents.find_file(document, named(A, WHEEL)) is None


def test_legacy__sealed_under_a_stable_id__keeps_that_url() -> None:
    document, _ = read_with_drops(legacy(legacy_file()), project="de-mo", identity="json/de-mo/1.0")
    held = sealed(stable_id("main", "de-mo", WHEEL))
    served = json.loads(render(document, sealed=(held,), base_url="https://o.example")["json"].body)
    assert served["urls"][0]["url"] == f"https://o.example/files/de-mo/{held.file_id}/{WHEEL}"


@pytest.mark.parametrize(
    "body",
    [{}, {"info": None}, {"info": {"name": "other"}}, legacy() | {"urls": {}}, legacy() | {"releases": []}],
)
def test_legacy__of_a_wrong_shape_or_project__is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(UpstreamInvalid):
        read_with_drops(body, project="de-mo", identity="json/de-mo")


# --- finding ----------------------------------------------------------------------------------------


def test_find__by_digest_and_exact_name__gives_the_entry() -> None:
    document = read(page(entry(size=5, **{"core-metadata": {"sha256": M}}), entry("demo-1.0.tar.gz")))
    found = PYPI.documents.find_file(document, named(A, WHEEL))
    assert found is not None
    assert (found.filename, found.file_id, found.size_bytes) == (WHEEL, A, 5)
    assert found.url == f"https://files.example.com/packages/{WHEEL}"
    assert (found.hashes, found.metadata_hashes) == ({"sha256": A}, {"sha256": M})
    assert PYPI.documents.find_file(document, named(B, WHEEL)) is None
    assert PYPI.documents.find_file(document, named(A, WHEEL.replace("demo", "Demo"))) is None
    assert PYPI.documents.find_file(document, named(STABLE.replace(STABLE[-1], "x"), WHEEL)) is None


def test_find__several_files_of_one_name__matches_by_id() -> None:
    document = read(
        page(entry(url="https://f.example/1.whl"), entry(url="https://f.example/2.whl", hashes={"sha256": B}))
    )
    urls = [PYPI.documents.find_file(document, named(file_id, WHEEL)) for file_id in (A, B)]
    assert [found.url for found in urls if found] == ["https://f.example/1.whl", "https://f.example/2.whl"]


def test_find__stable_id__finds_the_file_also_after_upstream_tells_its_hash() -> None:
    for hashes in ({}, {"md5": "e" * 32}, {"sha256": A}):
        found = PYPI.documents.find_file(read(page(entry(hashes=hashes))), named(STABLE, WHEEL))
        assert found is not None
        assert (found.file_id, found.hashes) == (STABLE, hashes)


@pytest.mark.parametrize(
    ("offered", "hashes"),
    [({"sha256": M}, {"sha256": M}), (True, {}), (False, None), (None, None)],
)
def test_find__metadata__is_found_through_its_parent(offered: Any, hashes: dict[str, str] | None) -> None:
    document = read(page(entry(url=f"https://f.example.com/{WHEEL}?sig=1", **{"core-metadata": offered})))
    wheel = PYPI.documents.find_file(document, named(A, WHEEL))
    found = PYPI.documents.find_file(document, named(A, f"{WHEEL}.metadata"))
    assert wheel is not None and wheel.metadata_hashes == hashes
    assert found is not None and (found.hashes, found.holder) == (hashes or {}, wheel)
    assert found.content_type == "text/plain; charset=utf-8"
    upstreams_own = f"https://f.example.com/{WHEEL}.metadata?sig=1"
    assert found.url == ("" if hashes is None else upstreams_own)  # "": upstream has none by itself


def test_document__of_the_version_before__its_word_is_the_upstreams_and_it_is_of_an_earlier_edition() -> None:
    now = read(page(entry(**{"core-metadata": True}), entry("demo-2.0-py3-none-any.whl")))
    assert now.envelope.offered == (WHEEL,)
    before = Document(msgspec.structs.replace(now.envelope, offered=None))
    documents = PYPI.documents
    assert (documents.edition_of(before), documents.edition_of(now)) == (0, documents.edition)
    found = documents.find_file(before, named(A, "demo-2.0-py3-none-any.whl.metadata"))
    assert found is not None and found.url  # asked for there first: it said that it has it


def test_find__signature__only_where_upstream_says_there_is_one() -> None:
    signed, unsigned = read(page(entry(**{"gpg-sig": True}))), read(page(entry()))
    found = PYPI.documents.find_file(signed, named(A, f"{WHEEL}.asc"))
    assert found is not None and found.url.endswith(".whl.asc")
    assert PYPI.documents.find_file(unsigned, named(A, f"{WHEEL}.asc")) is None


def test_stable_id__is_the_same_for_ever() -> None:
    digest = hashlib.sha256(f"{SOURCE.name}\0demo\0{WHEEL}".encode()).hexdigest()
    assert f"id-{digest[:40]}" == STABLE
