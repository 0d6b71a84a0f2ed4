"""Package URLs: read and written as they are spelt."""

from __future__ import annotations

import pytest

from shared.protocols.reading.purls import Purl, read_purl


@pytest.mark.parametrize(
    ("text", "purl"),
    [
        ("pkg:npm/JSONStream@1.3.5", Purl("npm", "JSONStream", version="1.3.5")),
        ("pkg:npm/%40Corp/X.y_Z@1.0.0%2Bb", Purl("npm", "X.y_Z", "@Corp", "1.0.0+b")),
        ("pkg:pypi/Zope.Interface_x@1.0", Purl("pypi", "Zope.Interface_x", version="1.0")),
        ("pkg:maven/org.Ex/A-B", Purl("maven", "A-B", "org.Ex")),
        (
            "pkg:maven/g/a@1?classifier=x&type=jar",
            Purl("maven", "a", "g", "1", {"classifier": "x", "type": "jar"}),
        ),
        ("pkg:pypi/a@1?file_name=A%20b", Purl("pypi", "a", version="1", qualifiers={"file_name": "A b"})),
        ("pkg:cargo/My_Crate@1.0.0", Purl("cargo", "My_Crate", version="1.0.0")),
    ],
)
def test_purl__is_written_as_it_was_read(text: str, purl: Purl) -> None:
    assert read_purl(text) == purl
    assert str(purl) == text


@pytest.mark.parametrize(
    ("text", "purl"),
    [
        ("pkg:npm/@Corp/x@1", Purl("npm", "x", "@Corp", "1")),
        ("pkg:NPM/X#sub/path", Purl("npm", "X")),
        ("pkg://npm/x@", Purl("npm", "x")),
        ("pkg:npm/%58", Purl("npm", "X")),
    ],
)
def test_other_spellings__are_read(text: str, purl: Purl) -> None:
    assert read_purl(text) == purl


@pytest.mark.parametrize("text", ["", "npm/x", "pkg:npm", "pkg:npm/", "pkg:1/x", "pkg:npm/x?%=1"])
def test_none__is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_purl(text)
