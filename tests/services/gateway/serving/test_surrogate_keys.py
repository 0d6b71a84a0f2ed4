"""The names that answers carry are those that changes of the cache and blocks lead to."""

from __future__ import annotations

from services.gateway.serving.surrogate_keys import file_names, key_name, page_names, project_name
from shared.cache.keys import facts_key, head_key
from shared.protocols.resource import Resource


def names(pair: tuple[bytes, bytes]) -> list[str]:
    assert pair[0] == b"surrogate-key"
    return pair[1].decode("ascii").split(" ")


def test_page__is_named_by_all_protocol_project_and_the_key_of_its_head() -> None:
    page = Resource("pypi", "index", "simple/demo", "demo")
    own = key_name(head_key("pypi", "simple/demo"))
    assert names(page_names(page)) == ["orchard", "pypi", "pypi/demo", own]


def test_file__is_named_by_the_key_of_its_facts() -> None:
    file = Resource("npm", "artifact", "x", "@scope/demo", file_id="1", filename="demo-1.tgz")
    assert names(file_names(file)) == [
        "orchard",
        "npm",
        "npm/%40scope%2Fdemo",
        key_name(facts_key(file.file)),
    ]


def test_list_of_all_projects__has_no_project() -> None:
    assert len(names(page_names(Resource("pypi", "index", "simple/")))) == 3


def test_project__one_name_in_all_spellings_that_clients_take_for_the_same() -> None:
    assert project_name("cargo", "my-crate") == project_name("cargo", "my_crate")


def test_odd_project__is_one_token_of_ascii() -> None:
    assert " " not in project_name("maven", "org.exämple:a b")
    project_name("maven", "org.exämple:a b").encode("ascii")
