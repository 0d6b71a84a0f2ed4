"""The grammar below /cargo: index files at one address, crates in any spelling, its errors."""

from __future__ import annotations

import json

import pytest

from shared.errors import FileNotFound, MalformedRequest, RouteNotFound
from shared.errors.base import problem_of
from shared.protocols.cargo.paths import CargoGrammar, classify
from shared.protocols.resource import Resource

GRAMMAR = CargoGrammar()


def of(path: str, **headers: str) -> Resource:
    return classify(
        "GET", path.encode(), b"", {name.encode(): text.encode() for name, text in headers.items()}
    )


@pytest.mark.parametrize(
    ("path", "project"),
    [
        ("/1/a", "a"),
        ("/2/ab", "ab"),
        ("/3/a/abc", "abc"),
        ("/se/rd/serde_json", "serde_json"),
        ("/a-/b_/a-b_", "a-b_"),
    ],
)
def test_index_file__of_each_length(path: str, project: str) -> None:
    found = of(path)
    assert (found.kind, found.identity, found.project) == ("index", f"index/{project}", project)
    assert not found.per_base_url


@pytest.mark.parametrize(
    "path",
    [
        "/", "/serde", "/se/serde", "/se/rd/", "/se/rd/other", "/Se/Rd/Serde", "/se/rd/Serde", "/3/b/abc",
        "/2/abc", "/1/ab", "/ab/c/abc", "/x/config.json", "/config.json/", "/dl/serde/1.0.0",
        "/dl/serde/1.0.0/download/x", "/api/v1/crates", "/me",
    ],
)  # fmt: skip
def test_other_address__leads_nowhere(path: str) -> None:
    with pytest.raises(RouteNotFound):
        of(path)


@pytest.mark.parametrize("path", ["/dl/Serde_JSON/1.0.0+x/download", "/dl/serde_json/1.0.0%2Bx/download"])
def test_crate__in_each_spelling__is_one(path: str) -> None:
    found = of(path)
    assert (found.project, found.file_id, found.filename) == (
        "serde_json",
        "1.0.0+x",
        "serde_json-1.0.0+x.crate",
    )
    assert found.version == "1.0.0"
    assert GRAMMAR.artifact_path(found.file) == "/dl/serde_json/1.0.0+x/download"


@pytest.mark.parametrize(
    "path", ["/dl/serde/1.0/download", "/dl/1serde/1.0.0/download", "/dl/serde/latest/download"]
)
def test_crate__of_no_name_or_version__is_refused(path: str) -> None:
    with pytest.raises(MalformedRequest):
        of(path)


def test_config__of_a_client_that_sends_its_token__is_another() -> None:
    bare, told = of("/config.json"), of("/config.json", authorization="Bearer secret")
    assert bare.identity == told.identity and bare.per_base_url
    assert bare.representation != told.representation
    assert "Authorization" in bare.vary
    assert of("/config.json", authorization="") == bare


def test_config__leads_here_and_asks_for_a_token_only_who_sends_one() -> None:
    told = [
        json.loads(CargoGrammar().own_answer(of("/config.json", **sent), "https://example.org/cargo")[1])
        for sent in ({}, {"authorization": "x"})
    ]
    assert told == [
        {"dl": "https://example.org/cargo/dl"},
        {"dl": "https://example.org/cargo/dl", "auth-required": True},
    ]


def test_challenge__tells_where_tokens_are_told_of() -> None:
    told = GRAMMAR.challenge("https://packages.example.com/below/cargo")
    assert told == 'Cargo login_url="https://packages.example.com/below/"'


def test_error__is_one_that_cargo_reads() -> None:
    kind, body = GRAMMAR.error_body(problem_of(FileNotFound("there is none"), "r-1"))
    told = json.loads(body)
    assert kind == "application/json"
    assert told["errors"][0]["detail"].startswith("there is none. ")
    assert (told["status"], told["code"], told["request_id"]) == (404, "file_not_found", "r-1")
