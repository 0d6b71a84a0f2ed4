"""Files that are looked at by columns come out as those that are looked at one by one."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocols.pypi import usual
from shared.protocols.pypi.entries import check_file
from shared.protocols.reading.links import Dropped, Links
from tests.shared.protocols.pypi.support import entry

BASE = "https://user:pw@pypi.example.com/simple/demo/"
SHA256 = "0123456789abcdef" * 4
HASHES: list[Any] = [{"sha256": SHA256}, {"sha256": SHA256.upper()}, {"sha256": SHA256 + "\n"}, {"sha256": 1},
    {"sha256": SHA256, "md5": "0" * 32}, {"md5": "0" * 32}, {}, None, f"sha256={SHA256}",
    {"sha256": SHA256[1:]}, {"sha256": SHA256, "md5": "no"}]  # fmt: skip
METADATA: list[Any] = [True, False, "true", f"sha256={SHA256}", None, 1, *HASHES]

ODD: dict[str, list[Any]] = {
    "filename": ["demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz", "demo", "a.zip\nb.zip", "-.zip", "ä.zip",
        "a.zip ", "", None, 1, "x" * 251 + ".zip", "x" * 252 + ".zip"],
    "url": ["../../files/a.whl", "../../files/", "../../../x/a.whl", "/files/a.whl", "a.whl", "./a.whl",
        "//h/a.whl", "https://files.example.com/a/b.whl", "https://files.example.com:0/a",
        "https://files.example.com:8/a", "http://pypi.example.com/files/a.whl",
        "https://u:p@files.example.com/a", "HTTPS://files.example.com/a",
        "https://xn--a.example.com/a", "https://[::1]/a", f"../../files/a.whl#sha256={SHA256}",
        "../../files/a.whl\n", "../../files/a.whl\n../../files/b.whl", "../../files/x/../a.whl",
        "../../files/x/./a.whl", "javascript:a()", "git+https://h/x", " ../../files/a.whl",
        "../../files/a?b=c", "../../files/ä.whl", "x" * 9000, "", None, 1],
    "hashes": HASHES,
    "core-metadata": METADATA,
    "data-dist-info-metadata": METADATA,
    "dist-info-metadata": METADATA,
    "requires-python": [">=3.8", "", None, 3],
    "size": [0, 5, True, -1, (1 << 63) - 1, 1 << 63, 1.0, "5", None],
    "upload-time": ["2024-02-29T23:59:59.123456789Z", "2024-01-02T03:04:05Z", "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z", "2024-01-02T24:00:01Z", "2024-01-02T03:04:05+01:00", "2024-01-02 03:04:05",
        " ", None, 1, "2024-01-02T03:04:05Z\n2024-01-02T03:04:05Z", "0000-01-01T00:00:00Z",
        "2024-01-02T03:04:05.٣Z"],
    "yanked": [False, True, "", "bad", 0, 1, None, {}, ["x"]],
    "gpg-sig": [True, False, "true", 1, None],
    "provenance": ["https://h/p", None, 1],
    "x-unknown": [None, 1, "x"],
}  # fmt: skip

USUAL = entry(
    **{"requires-python": ">=3.8", "size": 5, "upload-time": "2024-01-02T03:04:05.678901Z", "yanked": False},
    **{"core-metadata": {"sha256": SHA256}, "provenance": None, "x-unknown": [1]},
)


def one_by_one(files: list[Any], base: str) -> tuple[str, list[str]]:
    links, dropped = Links(base), Dropped()
    kept = [file for file in copy.deepcopy(files) if check_file(file, links, dropped)]
    return json.dumps(kept), dropped.reasons


def by_columns(files: list[Any], base: str) -> tuple[str, list[str]]:
    dropped = Dropped()
    return json.dumps(usual.check_files(copy.deepcopy(files), Links(base), dropped)), dropped.reasons


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in ODD for value in ODD[key]])
def test_columns__one_field_of_any_kind__are_as_one_by_one(key: str, value: Any) -> None:
    files = [USUAL, {**USUAL, key: value}, USUAL]
    assert by_columns(files, BASE) == one_by_one(files, BASE)
    alone = [{**USUAL, key: value}]
    assert by_columns(alone, BASE) == one_by_one(alone, BASE)


@pytest.mark.parametrize("key", list(USUAL))
def test_columns__a_field_that_is_missing__are_as_one_by_one(key: str) -> None:
    files = [USUAL, {name: value for name, value in USUAL.items() if name != key}]
    assert by_columns(files, BASE) == one_by_one(files, BASE)


ENTRIES = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(values) for key, values in ODD.items()}
).map(lambda some: {**USUAL, **some})
BASES = st.sampled_from(
    [BASE, "http://pypi.example.com/simple/demo/", "http://h/a/b/c/d/", "https://[::1]:8/simple/d/"]
)


@settings(max_examples=300)
@given(st.lists(st.one_of(st.just(USUAL), ENTRIES, st.sampled_from([None, [], "x"])), max_size=6), BASES)
def test_columns__of_any_files__are_as_one_by_one(files: list[Any], base: str) -> None:
    assert by_columns(files, base) == one_by_one(files, base)


@pytest.mark.parametrize("url", ["../../files/a.whl", "/files/a.whl", "https://files.example.com/a/b.whl"])
def test_columns__of_usual_files__need_no_look_at_each(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [{**USUAL, "url": url} for _ in range(usual.BATCH + 1)]
    expected = one_by_one(files, BASE)

    def refuse(*_: object) -> bool:
        raise AssertionError("looked at one by one")

    monkeypatch.setattr(usual, "check_file", refuse)
    assert by_columns(files, BASE) == expected


def test_columns__with_one_odd_file__look_at_its_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def counted(file: Any, links: Links, dropped: Dropped) -> bool:
        looked.append(file)
        return check_file(file, links, dropped)

    monkeypatch.setattr(usual, "check_file", counted)
    by_columns([{**USUAL, "size": -1}, *[USUAL] * (3 * usual.BATCH)], BASE)
    assert len(looked) == usual.BATCH
