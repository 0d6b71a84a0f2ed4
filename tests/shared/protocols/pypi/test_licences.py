"""The licence out of core metadata."""

from __future__ import annotations

import pytest

from shared.policy.licences import Unreadable, name_of
from shared.protocols.pypi.licences import licence_of
from shared.protocols.pypi.resolver.requirements import parse_metadata

MIT = "Classifier: License :: OSI Approved :: MIT License"
BSD = "Classifier: License :: OSI Approved :: BSD License"
GPL = "Classifier: License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)"
TOLD = {
    "an expression goes first": (
        ["License-Expression: MIT OR ISC", BSD, "License: x"],
        "MIT OR ISC",
    ),
    "a classifier": ([MIT, "License: see the file"], "MIT"),
    "several classifiers": ([MIT, GPL], "MIT AND GPL-3.0-or-later"),
    "a classifier that may mean several": ([BSD], "BSD License"),
    "the group of classifiers alone": (["Classifier: License :: OSI Approved", "License: ISC"], "ISC"),
    "the field": (["License: Apache-2.0"], "Apache-2.0"),
    "the licence's text": ([f"License: {'Permission is granted. ' * 10}"], ""),
    "nothing": (["Classifier: Topic :: Utilities"], ""),
}


@pytest.mark.parametrize(("lines", "expected"), TOLD.values(), ids=TOLD)
def test_licence__of_core_metadata(lines: list[str], expected: str) -> None:
    text = "\n".join(["Metadata-Version: 2.4", "Name: a", "Version: 1", *lines, "", ""])
    assert licence_of(parse_metadata(text.encode())) == expected


def test_ambiguous_classifier__is_no_expression() -> None:
    with pytest.raises(Unreadable):
        name_of("BSD License")
