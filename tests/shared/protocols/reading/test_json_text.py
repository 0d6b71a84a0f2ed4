"""What JSON of strangers is read, mended, or refused: the rows of docs/decisions/0023-tolerance.md."""

from __future__ import annotations

import json

import pytest

from shared.protocols.reading.json_text import fields_of, load_object, load_tree, read_object, value_of

PLAIN = '{"name": "a", "more": {"readme": "é"}}'

TAKEN: dict[str, tuple[bytes, object]] = {
    "as it should be": (b'{"a": "x"}', "x"),
    "a pair of surrogates": (rb'{"a": "\ud83d\ude00"}', "\U0001f600"),
    "half an emoji at the end": (rb'{"a": "x\ud83d"}', "x\ufffd"),
    "half an emoji in the middle": (rb'{"a": "\ud83dx\udc00\ude00"}', "\ufffdx\ufffd\ufffd"),
    "first half twice": (rb'{"a": "\ud83d\ud83d\ude00"}', "\ufffd\U0001f600"),
    "an escaped backslash before u": (rb'{"a": "\\ud83d"}', r"\ud83d"),
    "an escaped backslash before half an emoji": (rb'{"a": "\\\ud83d"}', "\\\ufffd"),
    "an escaped backslash before a second half": (rb'{"a": "\\ud83d\ude00"}', "\\ud83d\ufffd"),
    "half an emoji in a key": (rb'{"k\ud83d": 1, "a": "x"}', "x"),
    "one Latin-1 byte": (b'{"a": "caf\xe9"}', "caf\ufffd"),
    "a surrogate as bytes": (b'{"a": "\xed\xa0\xbd"}', "\ufffd\ufffd\ufffd"),
    "a cut character at the end of a string": (b'{"a": "x\xf0\x9f"}', "x\ufffd"),
    "a BOM": (b'\xef\xbb\xbf{"a": "x"}', "x"),
    "UTF-16 with a BOM": ('{"a": "é"}'.encode("utf-16"), "é"),
    "UTF-16 without": ('{"a": "é"}'.encode("utf-16-le"), "é"),
    "UTF-32": ('{"a": "é"}'.encode("utf-32"), "é"),
    "a key twice": (b'{"a": 1, "a": "x"}', "x"),
    "NaN": (b'{"a": NaN}', None),
    "infinities": (b'{"a": [Infinity, -Infinity]}', [None, None]),
    "a number beyond doubles": (b'{"a": [1e999, -1.5E+400, 1e100]}', [None, None, 1e100]),
    "NaN inside a string": (rb'{"a": "NaN \" NaN", "b": NaN}', 'NaN " NaN'),
    "an integer of thirty digits": (b'{"a": 123456789012345678901234567890}', 123456789012345678901234567890),
    "white space around": (b' \r\n{"a": "x"}\n\n', "x"),
}


@pytest.mark.parametrize(("body", "value"), TAKEN.values(), ids=TAKEN)
def test_json__harmless_oddities__taken(body: bytes, value: object) -> None:
    assert load_tree(body)["a"] == value
    top, text = read_object(body)
    if b"1e999" not in body:  # proper JSON as it stands
        assert json.loads(text)["a"] == value, "what is passed on is proper JSON for every client"
        assert value_of(top["a"]) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"x"', b"{", b'{"a": 1,}', b"{'a': 1}", b'{"a": "\n"}', b'{"a": 1}x', b"<html>",
     b"\xff", b'{"a": "\\x"}', b'{"a": 01}', b'{"a": ' * 100_000],
)  # fmt: skip
def test_json__what_no_client_reads__refused(body: bytes) -> None:
    for read in (load_tree, load_object):
        with pytest.raises(ValueError, match="not a JSON object"):
            read(body)


def test_json__proper_text__is_passed_on_as_it_is() -> None:
    body = rb'{ "a" : "\ud83d\ude00\u00e9" }'
    assert read_object(body)[1] is body


def test_json__mending__takes_linear_time() -> None:
    """Backslashes, quotes and digits in the worst order, of a megabyte each: quadratic would be hours."""
    for piece in (b"\\\\", b'\\"', b"1", b"\\ud83d", b"\\\\ud83d", b"\xe9"):
        text = b'{"a": "' + piece * (1_000_000 // len(piece)) + rb'\ud83d"}'
        assert load_tree(text)["a"].endswith("\ufffd")


def test_json__values_within__are_mended_too() -> None:
    top = load_object(rb'{"v": {"1.0": {"readme": "\ud83d", "name": "a"}}}')
    assert value_of(fields_of(fields_of(top["v"])["1.0"])["name"]) == "a"
