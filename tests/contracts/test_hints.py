"""Errors speak of the protocol that was asked: no hint or message of one names another, or its clients."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.cli_page import commands_of
from services.cli.parser import build_parser
from services.gateway.http.base_urls import BaseUrls
from services.gateway.http.requests import RequestReader, key_of
from shared.errors import MethodNotAllowed, OrchardError, ProxyLoop
from shared.errors.catalogue import CATALOGUE
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.settings import upstream_variable
from tests.support.stores import ROOT

OWN = "orchard-0123456789abcdef"
HOST = b"orchard.example.com"
REFUSED = [
    # method, what follows the mount point, query, Accept
    ("GET", b"..%2fescape", b"", None),
    ("GET", b"%00/%ff/", b"", None),
    ("GET", b"nothing/lies/at/this/address/of/any/protocol", b"", None),
    ("DELETE", b"demo", b"", None),
    ("POST", b"demo", b"", None),
    ("GET", b"simple/demo/", b"", b"image/png"),
    ("GET", b"simple/demo/", b"format=unknown", None),
    ("GET", b"demo", b"", b"image/png"),
    ("GET", b"de/mo/demo", b"", b"image/png"),
    ("GET", b"x" * 3000, b"", None),
]


def _words(protocol: PackageProxyBase) -> set[str]:
    """The protocol's name, its variable and its clients' names."""
    module = f"shared.protocols.{protocol.name}.clients"
    clients = import_module(module).CLIENTS if find_spec(module) is not None else {}
    return {protocol.name, upstream_variable(protocol.name).lower(), *clients}


def _named(text: str, words: set[str]) -> set[str]:
    return words & set(re.findall(r"[\w-]+", text.lower()))


def _reader() -> RequestReader:
    return RequestReader(PROTOCOLS, base_urls=BaseUrls(()), own_name=lambda: OWN)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_hint_of_the_catalogue__names_no_protocol(code: str) -> None:
    for protocol in PROTOCOLS:
        assert _named(CATALOGUE[code].hint, _words(protocol)) == set()


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_refusal_below_a_mount_point__names_no_other_protocol(protocol: PackageProxyBase) -> None:
    own = _words(protocol)
    others = set().union(*(_words(each) for each in PROTOCOLS)) - own
    refused = set()
    for method, rest, query, accept in REFUSED:
        headers = {b"host": HOST} | ({b"accept": accept} if accept else {})
        try:
            _reader().read(key_of(method, protocol.mount.encode() + rest, query, headers), headers)
        except OrchardError as error:
            refused.add(error.code)
            assert _named(f"{error.message} {error.hint}", others) == set()
    assert {"malformed_request", "method_not_allowed", "uri_too_long"} <= refused


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_loop__the_hint_names_the_variable_of_the_protocol_that_was_asked(protocol: PackageProxyBase) -> None:
    paths = [b"simple/demo/", b"demo", b"org/demo/demo/maven-metadata.xml", b"de/mo/demo"]
    looped = []
    for path in paths:
        headers = {b"host": HOST, b"via": f"1.1 {OWN}".encode()}
        try:
            _reader().read(key_of("GET", protocol.mount.encode() + path, b"", headers), headers)
        except ProxyLoop as error:
            looped.append(error.hint)
        except OrchardError:
            pass  # no address of this protocol
    assert looped and all(upstream_variable(protocol.name) in hint for hint in looped)


# --- a hint is of the error's case ----------------------------------------------------------------------

OF_MANY_THINGS = {"entry_not_found", "conflict"}
"""Codes whose cases have nothing in common to be done: each says by itself what to do."""


def _raised() -> Iterator[tuple[str, type[OrchardError], ast.Call]]:
    """Where errors of the catalogue are made: place, class and call."""
    classes = {each.__name__: each for each in CATALOGUE.values()}
    for folder in ("services", "shared"):
        for path in sorted(Path(ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", classes[node.func.id], node


def _text(node: ast.expr) -> str:
    """The literal parts of a string."""
    return " ".join(
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )


def _runs(text: str, length: int = 4) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def test_error_of_a_class_of_many_things__has_a_hint_of_its_own() -> None:
    without = [
        place
        for place, error, call in _raised()
        if error.code in OF_MANY_THINGS and not any(each.arg == "hint" for each in call.keywords)
    ]
    assert without == []


def test_hint__does_not_say_the_message_again() -> None:
    twice = []
    for place, error, call in _raised():
        own = [each.value for each in call.keywords if each.arg == "hint"]
        hint = _text(own[0]) if own else error.hint
        if call.args and _runs(_text(call.args[0])) & _runs(hint):
            twice.append(place)
    assert twice == []


@pytest.mark.parametrize("allow", ["GET, HEAD", "POST", "DELETE, PATCH"])
def test_method_not_allowed__names_the_methods_that_are(allow: str) -> None:
    error = MethodNotAllowed("PUT is not possible here", allow=allow)
    assert all(method in error.hint for method in allow.split(", "))
    assert ("GET" in error.hint) == ("GET" in allow)


_COMMAND = re.compile(r"`orchard ([a-z][^`]*)`")


def _parsed(line: str) -> argparse.Namespace:
    return build_parser().parse_args(shlex.split(line))


def _is_name(line: str) -> bool:
    """Whether it is the name of a command alone."""
    return line in {each.prog.removeprefix("orchard ") for each in commands_of(build_parser())}


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_command_that_a_hint_gives__is_taken(code: str) -> None:
    for line in _COMMAND.findall(CATALOGUE[code].hint):
        assert _is_name(line) or _parsed(line)


def test_command_that_lets_malware_in__says_that_it_means_malware() -> None:
    documents = [CATALOGUE["malware"].hint, (ROOT / "docs" / "firewall.md").read_text()]
    for text in documents:
        (line,) = re.findall(r"of (?:your own|somebody).*?`orchard (exempt add [^`]*)`", text)[:1]
        assert _parsed(line).yes
