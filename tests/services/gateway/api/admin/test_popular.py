"""The names that others are mistaken for: this version's, or a file's."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.api.admin.popular import popular_names
from shared.errors import ConfigurationError
from shared.policy.typos import SHORTEST, mistyped
from shared.protocols import PROTOCOLS

every = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)


@every
def test_known_names__are_canonical_and_many(protocol: object) -> None:
    (each,) = [found for found in PROTOCOLS if found is protocol]
    names = popular_names("").of[each.name]
    assert len(names) >= 90
    assert {name for name in names if each.names.canonical_name(name) != name} == set()
    assert [name for name in names if not each.names.is_project_name(name)] == []


@every
def test_known_name_with_a_letter_more__is_told(protocol: object) -> None:
    (each,) = [found for found in PROTOCOLS if found is protocol]
    names = popular_names("").of[each.name]
    name = max(names, key=len)
    assert len(name) > SHORTEST and mistyped(f"{name.lower()}x", names) == name


@every
def test_known_name__is_never_a_typo_of_another(protocol: object) -> None:
    (each,) = [found for found in PROTOCOLS if found is protocol]
    names = popular_names("").of[each.name]
    assert {name: meant for name in names if (meant := mistyped(name, names))} == {}


# Old names that many have, one letter from one of the list.
ESTABLISHED = {
    "pypi": ["boto", "moto", "toml", "beautifulsoup", "psycopg"],
    "npm": ["through", "color", "cookies", "querystring", "json", "mysql"],
    "maven": [
        "com.zaxxer:HikariCP",
        "com.squareup.okhttp:okhttp",
        "org.apache.spark:spark-core_2.13",
        "org.bouncycastle:bcprov-jdk15on",
    ],
    "cargo": ["memmap", "sha1", "sha3"],
}


@every
def test_established_name_beside_a_known_one__is_no_typo(protocol: object) -> None:
    (each,) = [found for found in PROTOCOLS if found is protocol]
    names = popular_names("").of[each.name]
    assert {name: mistyped(name, names) for name in ESTABLISHED[each.name]} == dict.fromkeys(
        ESTABLISHED[each.name], ""
    )


def test_file__takes_their_place(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text("# ours\npkg:pypi/Acme_Tools  # canonical: acme-tools\n\npkg:npm/%40corp/lib\n")
    found = popular_names(str(file)).of
    assert {protocol: set(names) for protocol, names in found.items() if names} == {
        "pypi": {"acme-tools"},
        "npm": {"@corp/lib"},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"pkg:npm/a-name\nrequests\n", "line 2: expected a package URL"),
        (b"pkg:npm/a-name@1.0.0\n", "line 1: expected a package URL without a version"),
        (b"pkg:deb/debian/curl\n", "line 1: no package of the type 'deb'"),
        (b"\xff\n", "cannot be read: it is not UTF-8"),
        (b"a" * 64 + b"\n", "line 1"),
        (b"#" * (4 * 1024 * 1024 + 1), "is larger than"),
    ],
)
def test_bad_file__is_refused_with_the_line(tmp_path: Path, text: bytes, words: str) -> None:
    file = tmp_path / "names"
    file.write_bytes(text)
    with pytest.raises(ConfigurationError, match=words):
        popular_names(str(file))


def test_file_that_is_not_there__is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        popular_names(str(tmp_path / "none"))
