"""Dotted keys too long for `tomllib` are found, in time that grows with the text."""

from __future__ import annotations

import pytest

from shared.protocols.reading.toml_text import MAX_KEY_PARTS, long_key_at


@pytest.mark.parametrize("part", ["a", '"a"', "'a'", '"\\"x"', '"\\\\"'])
@pytest.mark.parametrize("before", ["", "[t]\n", 'x = "\\""\n', "x = 'C:\\'\n"])
def test_key_of_too_many_parts__found(part: str, before: str) -> None:
    fits, long = ".".join([part] * MAX_KEY_PARTS), " . ".join([part] * (MAX_KEY_PARTS + 1))
    assert long_key_at(f"{before}{fits} = 1\n") < 0
    assert long_key_at(f"{before}{long} = 1\n") >= 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece", ['\\"', '"', "'", "\\", '"\\', "a.", '"a".', "'a' . ", "a ", "\t", ".", '\\".', "a\\"]
)
def test_text_of_one_thing_alone__in_time_that_grows_with_it(piece: str) -> None:
    long_key_at("x = 1\n" + piece * 1_000_000)
