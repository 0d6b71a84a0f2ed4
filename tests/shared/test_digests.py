"""What is taken for a digest."""

from __future__ import annotations

import pytest

from shared.digests import is_sha256


def test_sha256__64_lower_case_hex_digits__is_one() -> None:
    assert is_sha256("0123456789abcdef" * 4)


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "٣" * 64])
def test_sha256__anything_else__is_none(text: str) -> None:
    assert not is_sha256(text)
