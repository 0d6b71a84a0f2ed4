"""Top-level keys of a .yarnrc.yml: the few shapes that yarn itself writes, anything else is left alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.clientfiles.form import lines_of, past_mark
from shared.clientfiles.setup import CannotEdit

_KEY = re.compile(r"""["']?([A-Za-z_][\w-]*)["']?\s*:(?:\s|$)""")
_OTHER = re.compile(
    r" |-(?:\s|$)|#|---\s*$|\s*$"
)  # what goes on with a value, comments, the document's start


@past_mark
def set_scalar(text: str, key: str, value: str) -> str:
    """`key: value` at the top; `value` is YAML as it stands. Raises `CannotEdit`."""
    return _put(text, key, [f"{key}: {value}"])


@past_mark
def add_to_list(text: str, key: str, item: str) -> str:
    """Have a word in a list of words, with what is there already kept in order. Raises `CannotEdit`."""
    lines = lines_of(text)
    start, end = _block(lines, key)
    known = _items(lines[start:end]) if start < end else []
    if item in known:
        return _ended(text)
    return _put(text, key, [f"{key}:", *(f'  - "{each}"' for each in [*known, item])])


def _put(text: str, key: str, block: Sequence[str]) -> str:
    lines = lines_of(text)
    if not all(_OTHER.match(line) or _KEY.match(line) for line in lines):
        raise CannotEdit("it is not written as one key per line")
    begun = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if any(line.startswith("---") for line in begun[1:]):
        raise CannotEdit("it holds several documents")
    start, end = _block(lines, key)
    lines[start:end] = block
    return _ended("\n".join(lines))


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else text + "\n"


def _block(lines: Sequence[str], key: str) -> tuple[int, int]:
    """From the key's line to the line after its value; both the end of the file without it."""
    starts = [at for at, line in enumerate(lines) if (found := _KEY.match(line)) and found.group(1) == key]
    if not starts:
        return len(lines), len(lines)
    if len(starts) > 1:
        raise CannotEdit(f"it has {key} more than once")
    end = starts[0] + 1
    while end < len(lines) and (lines[end][:1] in (" ", "-") or not lines[end].strip()):
        end += 1
    while not lines[end - 1].strip():  # empty lines belong to what follows
        end -= 1
    return starts[0], end


def _items(block: Sequence[str]) -> list[str]:
    inline = block[0].partition(":")[2].strip()
    if inline.startswith("[") and inline.endswith("]") and len(block) == 1:
        parts = [each.strip() for each in inline[1:-1].split(",") if each.strip()]
    elif not inline and all(line.strip().startswith("- ") for line in block[1:]):
        parts = [line.strip()[2:].strip() for line in block[1:]]
    else:
        raise CannotEdit(f"{block[0].partition(':')[0]} is not a plain list")
    words = [each[1:-1] if each[:1] in "\"'" and each[-1:] == each[:1] else each for each in parts]
    if not all(re.fullmatch(r"[\w.*:\[\]-]+", each) for each in words):
        raise CannotEdit(f"{block[0].partition(':')[0]} is not a list of plain words")
    return words
