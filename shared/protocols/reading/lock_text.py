"""Locks from strangers: text, JSON and TOML within bounds, and values with their places for errors."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from shared.errors import EnsureInvalid
from shared.protocols.reading.toml_text import MAX_KEY_PARTS, long_key_at

MAX_BYTES = 16 * 1024 * 1024
MAX_TOML_BYTES = 4 * 1024 * 1024  # `tomllib` reads a megabyte a second
MAX_DEPTH = 64
MOST_PINS = 10_000
_SHOWN = 80

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HEX = re.compile(r"[0-9a-fA-F]+")
DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
"""The algorithms that are compared, and how many hex digits each has."""

Digests = tuple[tuple[str, str], ...]


def _at(text: str, offset: int, reason: str) -> EnsureInvalid:
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return EnsureInvalid(f"line {line}, column {column}: {reason}")


def text_of(body: bytes, limit: int = MAX_BYTES) -> str:
    """UTF-8 without a BOM, lines ended by LF. Raises `EnsureInvalid`, as all here."""
    if len(body) > limit:
        raise EnsureInvalid(f"it has {len(body)} bytes, at most {limit} are read of such a file")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise EnsureInvalid(f"line {line}: this is not UTF-8") from None
    control = _CONTROL.search(text)
    if control is not None:
        raise _at(text, control.start(), f"a control character, U+{ord(control[0]):04X}")
    return text.replace("\r\n", "\n")


def json_of(body: bytes) -> Part:
    """An object; no key twice."""
    text = text_of(body)
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise EnsureInvalid(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError):  # the second is `int`'s
        raise EnsureInvalid("it is nested too deeply, or a number is too long") from None
    return whole(found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise EnsureInvalid(f"the key {ascii(twice)[:_SHOWN]} stands twice in one object")
    return found


def toml_of(body: bytes) -> Part:
    """A document."""
    text = text_of(body, MAX_TOML_BYTES)
    long = long_key_at(text)
    if long >= 0:
        raise _at(text, long, f"more than {MAX_KEY_PARTS} parts with dots between")
    try:
        return whole(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise EnsureInvalid(str(error)) from None
    except (RecursionError, ValueError):
        raise EnsureInvalid("it is nested too deeply, or a number is too long") from None


def whole(found: Any) -> Part:
    """A decoded document, whose top must be an object. Raises `EnsureInvalid` for one that is too deep."""
    left = [(found, 1)]
    while left:
        value, depth = left.pop()
        if depth > MAX_DEPTH:
            raise EnsureInvalid(f"it is nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            left += ((each, depth + 1) for each in value.values() if isinstance(each, (dict, list)))
        elif isinstance(value, list):
            left += ((each, depth + 1) for each in value if isinstance(each, (dict, list)))
    if not isinstance(found, dict):
        raise EnsureInvalid("expected an object at its top")
    return Part(found, "")


class Part:
    """A table of a lock and where it stands: "package 17, `requests`". What is not of the kind that is asked
    for raises `EnsureInvalid` with the place."""

    def __init__(self, value: dict[str, Any], place: str) -> None:
        self.value = value
        self.place = place

    def fault(self, reason: str) -> EnsureInvalid:
        return EnsureInvalid(f"{self.place}: {reason}" if self.place else reason)

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def text(self, key: str) -> str:
        """The text, "" where there is none."""
        found = self.value.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise self.fault(f"{key} is no text")
        return found

    def number(self, key: str, default: int = 0) -> int:
        """The whole number from 0 on, `default` where there is none."""
        found = self.value.get(key)
        if found is None:
            return default
        if type(found) is not int or found < 0:
            raise self.fault(f"{key} is no whole number")
        return found

    def table(self, key: str) -> Part:
        """The table, an empty one where there is none."""
        found = self.value.get(key)
        if found is None:
            found = {}
        if not isinstance(found, dict):
            raise self.fault(f"{key} is no table")
        return Part(found, self.place)

    def tables(self, key: str, noun: str = "") -> Iterator[Part]:
        """The tables of a list. `noun`: what one of them is, for places: "package 17, `requests`"."""
        found = self.value.get(key)
        if found is None:
            return
        if not isinstance(found, list):
            raise self.fault(f"{key} is no list")
        for number, each in enumerate(found, 1):
            place = f"{noun or key} {number}"
            if noun and isinstance(each, dict) and isinstance(each.get("name"), str):
                place += f", `{shown(each['name'])}`"
            place = f"{self.place}, {place}" if self.place else place
            if not isinstance(each, dict):
                raise EnsureInvalid(f"{place}: it is no table")
            yield Part(each, place)

    def digest(self, text: str) -> Digests:
        """Of "sha256:{hex}"."""
        algorithm, _, digest = text.partition(":")
        return self.digests({algorithm: digest})

    def digests(self, told: dict[str, Any]) -> Digests:
        """Of algorithm → hex; at least one must be of a kind that is compared here."""
        found = {}
        for name, digest in told.items():
            algorithm = name.lower().replace("-", "")
            if not isinstance(digest, str) or not digest.isascii():
                raise self.fault("hash is no text")
            if algorithm not in DIGITS:
                continue
            if _HEX.fullmatch(digest) is None:
                raise self.fault("hash is not hex")
            if len(digest) != DIGITS[algorithm]:
                raise self.fault(f"hash has {len(digest)} digits, {algorithm} has {DIGITS[algorithm]}")
            found[algorithm] = digest.lower()
        if not found:
            raise self.fault(f"it has no hash of a kind that is compared here: {', '.join(DIGITS)}")
        return tuple(sorted(found.items()))


def basename(address: str) -> str:
    """The file that an address or a path ends with."""
    try:
        path = urlsplit(address).path
    except ValueError:
        return ""
    return unquote(path).replace("\\", "/").rpartition("/")[2]


def shown(text: str) -> str:
    """A stranger's text in an error: one line, short."""
    return ascii(text)[1:-1][:_SHOWN]
