"""A registry's own signatures, by keys that an operator gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.fetcher.provenance.items import Item
from services.fetcher.provenance.signatures import of_registry, read_keys
from shared.policy.evidence import Attested
from tests.support.sigstore import RegistryKey

TEXT = "demo@1.0.0:sha512-x"
JANUARY = 1_767_225_600.0  # unix seconds, 2026-01-01


def item(*signatures: dict[str, str], published: float = JANUARY) -> Item:
    pairs = tuple((each["keyid"], each["sig"]) for each in signatures)
    return Item("npm", Attested("", ""), "", signatures=pairs, signed=TEXT.encode(), published=published)


@pytest.fixture
def key() -> RegistryKey:
    return RegistryKey()


def test_signature__of_a_known_key(key: RegistryKey, tmp_path: Path) -> None:
    keys = read_keys([str(key.write(tmp_path / "keys.json"))])
    other = RegistryKey()
    right, strange = key.sign(TEXT), RegistryKey("SHA256:another").sign(TEXT)
    for signatures, expected in (
        ((), ""),
        ((right,), "verified"),
        ((strange, right), "verified"),
        ((strange,), "failed"),
        ((other.sign(TEXT),), "failed"),
        ((key.sign("demo@1.0.1:sha512-x"),), "failed"),
        (({"keyid": key.id, "sig": "no base64"},), "failed"),
    ):
        assert of_registry(keys, item(*signatures)) == expected
    assert of_registry({}, item(right)) == ""


@pytest.mark.parametrize(
    ("expires", "expected"), [("2026-01-02T00:00:00Z", "verified"), ("2026-01-01T00:00:00Z", "failed")]
)
def test_key_that_is_over__is_good_for_what_was_published_before(
    key: RegistryKey, tmp_path: Path, expires: str, expected: str
) -> None:
    keys = read_keys([str(key.write(tmp_path / "keys.json", expires))])
    assert of_registry(keys, item(key.sign(TEXT))) == expected


def test_file_that_is_none__is_told(tmp_path: Path) -> None:
    broken = tmp_path / "keys.json"
    broken.write_text('{"keys": [{"keyid": "x", "key": "bm9uZQ=="}]}')
    with pytest.raises(ValueError, match=r"."):
        read_keys([str(broken)])
