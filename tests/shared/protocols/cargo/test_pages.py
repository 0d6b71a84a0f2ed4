"""What clients get: index files byte for byte, stored versions as they were."""

from __future__ import annotations

import json

import pytest

from shared.models import SealedFile
from shared.protocols.cargo.index import IndexFile, load_index_file
from shared.protocols.cargo.pages import CargoPages
from shared.protocols.cargo.resolver.registry import read_crate
from tests.shared.protocols.cargo.test_index import GOLDEN, line, versions

PAGES = CargoPages()
OLD, NEW = "a" * 64, "b" * 64
Sealed = dict[tuple[str, str], SealedFile]


def sealed(version: str = "1.0.0", sha256: str = OLD) -> Sealed:
    filename = f"example-crate-{version}.crate"
    return {(version, filename): SealedFile(filename, version, sha256, 10)}


def document(*lines: str) -> IndexFile:
    return load_index_file("".join(f"{each}\n" for each in lines).encode())


def shown(document: IndexFile, stored: Sealed) -> bytes:
    return PAGES.rewrite_index("index/example-crate", document, sealed=stored, base_url="")["lines"].body


def test_index_file__is_served_byte_for_byte() -> None:
    assert shown(load_index_file(GOLDEN), {}) == GOLDEN
    assert shown(load_index_file(GOLDEN), sealed("9.9.9")) == GOLDEN


def test_stored_version__whose_bytes_the_upstream_changed__stays_as_it_was_seen() -> None:
    before = document(line("0.9.0"), line("1.0.0", cksum=OLD, more=',"links":"first"'))
    after = document(line("0.9.0"), line("1.0.0", cksum=NEW))
    assert PAGES.wants_previous(after, sealed())
    body = PAGES.carry_over(after, before, sealed(), 0.0)
    assert body is not None
    kept = load_index_file(body)
    assert versions(kept) == ["0.9.0", "1.0.0", "1.0.0"]
    assert shown(kept, sealed()) == before.body
    assert [(file.sha256, digest) for file, digest in PAGES.mutated_files(kept, sealed())] == [(OLD, NEW)]
    assert PAGES.carry_over(kept, before, sealed(), 0.0) is None
    again = PAGES.carry_over(after, kept, sealed(), 0.0)
    assert again == body
    # Once the change was accepted, the stored file is the new one.
    assert shown(kept, sealed(sha256=NEW)) == after.body
    assert PAGES.mutated_files(kept, sealed(sha256=NEW)) == []


def test_stored_version__whose_line_was_never_seen__keeps_its_digest() -> None:
    body = PAGES.carry_over(document(line("1.0.0", cksum=NEW)), None, sealed(), 0.0)
    assert body is not None
    assert json.loads(shown(load_index_file(body), sealed()))["cksum"] == OLD


@pytest.mark.parametrize("yanked", ["true", "false"])
def test_stored_version__is_yanked_as_the_upstream_says_now(yanked: str) -> None:
    other = "false" if yanked == "true" else "true"
    both = document(
        line("1.0.0", cksum=OLD, more=f',"yanked":{other},"x":[1.5]'),
        line("1.0.0", cksum=NEW, more=f',"yanked":{yanked}'),
    )
    told = json.loads(shown(both, sealed()))
    assert (told["cksum"], told["yanked"], told["x"]) == (OLD, yanked == "true", [1.5])


def test_stored_version__that_the_upstream_withdrew__stays_yanked_for_locks() -> None:
    before, after = document(line("0.9.0"), line("1.0.0", cksum=OLD), line("1.1.0")), document(line("0.9.0"))
    assert PAGES.wants_previous(after, sealed())
    body = PAGES.carry_over(after, before, sealed(), 0.0)
    assert body is not None
    kept = load_index_file(body)
    assert [(each.version, each.yanked) for each in kept.lines] == [("0.9.0", False), ("1.0.0", True)]
    assert shown(kept, sealed()) == body
    assert PAGES.carry_over(after, kept, sealed(), 0.0) == body
    assert PAGES.carry_over(before, kept, sealed(), 0.0) is None, "it came back"
    assert PAGES.carry_over(after, None, sealed(), 0.0) is None


def test_resolver__sees_what_clients_see() -> None:
    both = document(line("1.0.0", cksum=OLD), line("1.0.0", cksum=NEW))
    crate = read_crate(both, sealed())
    assert [each.cksum for _, each in crate.lines] == [OLD]
    assert crate.sizes == {"example-crate-1.0.0.crate": 10}
    assert [each.cksum for _, each in read_crate(both).lines] == [NEW]
