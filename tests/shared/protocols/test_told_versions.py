"""A version is told as its registry and its clients spell it; the canonical form is a key."""

from __future__ import annotations

import pytest

from shared.protocols import PROTOCOLS, protocol_named
from shared.protocols.package_urls import told_purl

# Project, canonical version, names of entries and files that are of it, the version as it is told.
TOLD = [
    ("pypi", "requests", "2.34", ["requests-2.34.0-py3-none-any.whl"], "2.34.0"),
    ("pypi", "requests", "2.34", ["requests-2.34.0.tar.gz"], "2.34.0"),
    ("pypi", "requests", "2.34", ["requests-2.34.0-py3-none-any.whl.metadata"], "2.34.0"),
    ("pypi", "charset-normalizer", "3.5", ["charset_normalizer-3.5.0-cp313-cp313-win32.whl"], "3.5.0"),
    ("pypi", "a-b", "1+local.1", ["a_b-1.0+local_1-py3-none-any.whl"], "1.0+local-1"),
    ("pypi", "requests", "2.34", ["requests-2.33.0.tar.gz"], "2.34"),
    ("pypi", "requests", "2.34", ["readme.txt", "requests-2.34.0.zip"], "2.34.0"),
    ("pypi", "requests", "2.34", [""], "2.34"),
    ("pypi", "requests", "2.34", [], "2.34"),
    ("npm", "left-pad", "1.3.0", ["1.3.0"], "1.3.0"),
    ("npm", "left-pad", "1.3.0", ["left-pad-1.3.0.tgz"], "1.3.0"),
    ("cargo", "libz-sys", "1.1.0", ["1.1.0+zlib"], "1.1.0+zlib"),
    ("cargo", "libz-sys", "1.1.0", ["libz-sys-1.1.0+zlib.crate"], "1.1.0+zlib"),
    ("cargo", "libz-sys", "1.1.0", ["libz-sys-1.1.0.crate"], "1.1.0"),
    ("maven", "g:a", "4.13.2", ["4.13.2"], "4.13.2"),
    ("maven", "g:a", "4.13.2", ["a-4.13.2.jar"], "4.13.2"),
    ("maven", "g:a", "1.0-SNAPSHOT", ["a-1.0-20240101.120000-1.jar"], "1.0-SNAPSHOT"),
]


def test_table__is_of_every_protocol() -> None:
    assert {each[0] for each in TOLD} == {each.name for each in PROTOCOLS}


@pytest.mark.parametrize(("protocol", "project", "version", "names", "told"), TOLD)
def test_told_version__is_as_entries_and_files_spell_it(
    protocol: str, project: str, version: str, names: list[str], told: str
) -> None:
    known = protocol_named(protocol).names
    assert known.told_version(project, version, *names) == told
    assert known.canonical_version(told) == version, "else it would name another version"
    assert told_purl(protocol, project, version, *names).endswith("@" + told.replace("+", "%2B"))
