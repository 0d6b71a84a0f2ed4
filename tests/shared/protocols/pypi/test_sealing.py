"""What a page showed once it goes on showing: URL, hashes, size and upload time of the same bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from shared.models import SealedFile
from shared.protocols.pypi.document import Document
from shared.protocols.pypi.names import stable_id
from tests.shared.protocols.pypi.support import PYPI, SOURCE, entry, named, page, read, rendered_json

WHEEL = "demo-1.0-py3-none-any.whl"
A, B, M, N = "a" * 64, "b" * 64, "c" * 64, "d" * 64
MD5 = "e" * 32
STABLE = stable_id("main", "demo", WHEEL)


def refreshed(
    previous: Document | None, new: dict[str, Any], *, sealed: tuple[SealedFile, ...] = ()
) -> Document:
    """The document after a refresh, as the fetcher makes it."""
    document = read(new)
    held = {(each.file_id, each.filename): each for each in sealed}
    assert PYPI.pages.wants_previous(document, held)
    body = PYPI.pages.carry_over(document, previous, held, 0.0)
    decoded: Document = document if body is None else PYPI.documents.decode_document(body)
    return decoded


def shown(document: Document, *, sealed: tuple[SealedFile, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = rendered_json(document, sealed=sealed)["files"][0]
    return found


def test_refresh__upstream_no_longer_tells_the_hash__url_and_hash_stay() -> None:
    first = read(page(entry()))
    second = refreshed(first, page(entry(hashes={})))
    assert shown(second) == shown(first)
    assert PYPI.documents.find_file(second, named(A, WHEEL)) is not None


def test_refresh__upstream_tells_the_hash_later__shown_too_but_the_url_stays() -> None:
    first = read(page(entry(hashes={})))
    second = refreshed(first, page(entry()))
    assert shown(second)["url"] == shown(first)["url"] == f"../../files/demo/{STABLE}/{WHEEL}"
    assert shown(second)["hashes"] == {"sha256": A}
    third = refreshed(second, page(entry()))
    fourth = refreshed(third, page(entry(hashes={})))
    assert shown(third) == shown(fourth) == shown(second)
    for file_id in (STABLE, A):  # a lock file of another registry may name the digest
        found = PYPI.documents.find_file(second, named(file_id, WHEEL))
        assert found is not None and found.hashes == {"sha256": A} and found.file_id == file_id


def test_refresh__size_and_upload_time_of_the_same_bytes__never_change() -> None:
    first = read(page(entry(size=10, **{"upload-time": "2020-01-01T00:00:00Z"})))
    for new in (
        entry(size=11, **{"upload-time": "2024-01-01T00:00:00Z"}),
        entry(),
    ):
        second = shown(refreshed(first, page(new)))
        assert (second["size"], second["upload-time"]) == (10, "2020-01-01T00:00:00Z")


def test_refresh__what_was_not_shown_before__is_added() -> None:
    first = read(page(entry(hashes={"md5": MD5})))
    second = shown(
        refreshed(
            first,
            page(entry(hashes={"sha256": A, "md5": MD5}, size=10, **{"upload-time": "2020-01-01T00:00:00Z"})),
        )
    )
    assert second["hashes"] == {"md5": MD5, "sha256": A}
    assert (second["size"], second["upload-time"]) == (10, "2020-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("yanked", False, "broken"),
        ("requires-python", ">=3.8", ">=3.9"),
        ("provenance", "https://p.example/1", "https://p.example/2"),
    ],
)
def test_refresh__what_may_change__is_the_upstreams(key: str, old: Any, new: Any) -> None:
    first = read(page(entry(**{key: old})))
    second = refreshed(first, page(entry(hashes={}, **{key: new})))
    assert shown(second)[key] == new
    assert key not in shown(refreshed(second, page(entry())))


def test_refresh__metadata_hash_that_upstream_corrects__is_the_new_one() -> None:
    first = read(page(entry(**{"core-metadata": {"sha256": M}})))
    second = refreshed(first, page(entry(**{"core-metadata": {"sha256": N}})))
    assert shown(second)["core-metadata"] == {"sha256": N}


@pytest.mark.parametrize("new", [True, False, None])
def test_refresh__metadata_hash_once_shown__stays(new: Any) -> None:
    first = read(page(entry(**{"core-metadata": {"sha256": M}})))
    keys = {} if new is None else {"core-metadata": new}
    assert shown(refreshed(first, page(entry(**keys))))["core-metadata"] == {"sha256": M}


def test_refresh__metadata_of_the_sealed_wheel_itself__wins() -> None:
    first = read(page(entry(**{"core-metadata": {"sha256": M}})))
    held = (SealedFile(WHEEL, A, A, 777, N),)
    second = refreshed(first, page(entry()), sealed=held)
    assert shown(second, sealed=held)["core-metadata"] == {"sha256": N}


@pytest.mark.parametrize(
    "new",
    [
        entry(hashes={"sha256": B}),
        entry(hashes={"sha256": B, "md5": MD5}),  # one equal digest does not outweigh another
        entry(hashes={}, url="https://files.example.com/other/place.whl"),
        entry(hashes={}, size=11),
    ],
)
def test_refresh__other_bytes_not_sealed__are_the_upstreams(new: dict[str, Any]) -> None:
    first = read(page(entry(hashes={"sha256": A, "md5": MD5}, size=10)))
    assert shown(refreshed(first, page(new))) == shown(read(page(new)))


def test_refresh__other_bytes_of_a_sealed_file__the_first_stay_and_it_is_told() -> None:
    held = (SealedFile(WHEEL, A, A, 10, metadata_sha256=M),)
    first = read(page(entry(size=10, **{"upload-time": "t1"})))
    second = refreshed(
        first, page(entry(hashes={"sha256": B}, size=11, **{"upload-time": "t2"})), sealed=held
    )
    assert shown(second, sealed=held) == shown(first, sealed=held)
    by_key = {(each.file_id, each.filename): each for each in held}
    assert PYPI.pages.mutated_files(second, by_key) == [(held[0], B)]


def test_refresh__two_entries_of_one_name__each_keeps_its_own() -> None:
    first = read(page(entry(size=1), entry(hashes={"sha256": B}, size=2)))
    second = refreshed(first, page(entry(hashes={"sha256": B}), entry()))
    assert [(file["hashes"]["sha256"], file["size"]) for file in rendered_json(second)["files"]] == [
        (B, 2),
        (A, 1),
    ]


def test_refresh__document_of_another_source__nothing_is_carried() -> None:
    other = msgspec.structs.replace(SOURCE, id=2, name="other")
    body = json.dumps(page(entry())).encode()
    identity = PYPI.grammar.index_identity("demo")
    url = "https://index.example.com/simple/demo/"
    elsewhere = PYPI.documents.read_index(
        identity, other, url=url, content_type="application/json", body=body
    )
    previous = PYPI.documents.decode_document(elsewhere.body)
    assert PYPI.pages.carry_over(read(page(entry(hashes={}))), previous, {}, 0.0) is None


def test_refresh__nothing_to_carry__the_document_stands_as_it_is() -> None:
    document = read(page(entry()))
    assert PYPI.pages.carry_over(document, None, {}, 0.0) is None
    assert PYPI.pages.carry_over(document, read(page(entry())), {}, 0.0) is None


def test_refresh__again_with_its_own_result__same_bytes() -> None:
    first = read(page(entry(hashes={"md5": MD5}, size=10)))
    new = page(entry(hashes={"sha256": A, "md5": MD5}))
    made = [PYPI.pages.carry_over(read(new), first, {}, float(i)) for i in range(3)]
    assert made[0] is not None and made.count(made[0]) == 3
    again = PYPI.pages.carry_over(read(new), PYPI.documents.decode_document(made[0]), {}, 0.0)
    assert again == made[0]


def test_refresh__previous_document__is_left_as_it_was() -> None:
    first, before = read(page(entry())), read(page(entry()))
    refreshed(first, page(entry(hashes={}, size=1)))
    assert first.page == before.page


def test_wants_previous__only_pages_of_projects() -> None:
    root = {"meta": {"api-version": "1.0"}, "projects": [{"name": "demo"}]}
    assert not PYPI.pages.wants_previous(read(root, project=""), {})
