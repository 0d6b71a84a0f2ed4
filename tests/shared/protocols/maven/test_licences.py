"""The licences of a POM, by SPDX where their names are certain."""

from __future__ import annotations

import io

import pytest

from shared.protocols.maven.metadata import extract
from tests.support.maven_builders import build_pom

NAMES = {
    "Apache License, Version 2.0": "Apache-2.0",
    "The Apache Software License, Version 2.0": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "The MIT License": "MIT",
    "Eclipse Public License v2.0": "EPL-2.0",
    "Eclipse Public License - v 1.0": "EPL-1.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "GNU Lesser General Public License, Version 3": "LGPL-3.0-only",
    "BSD": "BSD",
    "GNU Lesser General Public License": "GNU Lesser General Public License",
    "Public Domain": "Public Domain",
}


def licences(*pairs: tuple[str, str]) -> str:
    inner = "".join(f"<license><name>{name}</name><url>{url}</url></license>" for name, url in pairs)
    return f"<licenses>{inner}</licenses>"


def told(extra: str) -> tuple[str | None, tuple[str, str, str] | None]:
    pom = build_pom("org.x", "a", "1", extra=extra)
    found = extract(io.BytesIO(pom), len(pom))
    return found.licence, found.licence_at


@pytest.mark.parametrize(("name", "expected"), NAMES.items(), ids=NAMES)
def test_name__by_spdx_where_it_is_certain(name: str, expected: str) -> None:
    assert told(licences((name, ""))) == (expected, None)


def test_several__one_may_be_chosen() -> None:
    assert told(licences(("MIT", ""), ("EPL 2.0", ""))) == ("MIT OR EPL-2.0", None)


def test_address_of_the_licence__goes_before_its_name() -> None:
    address = "https://www.apache.{}/licenses/LICENSE-2.0.txt".format("org")
    assert told(licences(("Some words", address))) == ("Apache-2.0", None)


PARENT = "<parent><groupId>org.x</groupId><artifactId>p</artifactId><version>2</version></parent>"


def test_none__is_its_parents_or_none_at_all() -> None:
    assert told("") == ("", None)
    assert told(PARENT) == (None, ("org.x:p", "2", "p-2.pom"))
    assert told(PARENT + licences(("MIT", ""))) == ("MIT", None)
