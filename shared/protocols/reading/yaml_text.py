"""YAML from strangers: plain values, within bounds. No alias, no anchor, no tag, no key twice."""

from __future__ import annotations

from typing import Any

import yaml

from shared.errors import EnsureInvalid
from shared.protocols.reading.lock_text import MAX_DEPTH, Part, text_of, whole

MAX_YAML_BYTES = 4 * 1024 * 1024
MOST_EVENTS = 400_000  # of the parser: values, and ends of lists and mappings


def yaml_of(body: bytes) -> Part:
    """A mapping of plain values; no alias, no tag, no key twice."""
    text = text_of(body, MAX_YAML_BYTES)
    try:
        _check_events(text)
        found = yaml.load(text, Loader=_Loader)  # noqa: S506  # of CSafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise EnsureInvalid(f"{place}{getattr(error, 'problem', None) or 'this is no YAML'}") from None
    except (RecursionError, ValueError):
        raise EnsureInvalid("it is nested too deeply, or a number is too long") from None
    return whole(found)


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]  # it is not typed
    """Scalars stay texts: "1.10" is a version. Keys stand once."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # yaml's own name and kind

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if any(not isinstance(key, str) for key in keys):
            raise yaml.constructor.ConstructorError(None, None, "a key that is no text", node.start_mark)
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def _check_events(text: str) -> None:
    """Before anything is built: an alias may stand for any number of values."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        fault = ""
        if depth > MAX_DEPTH:
            fault = f"nested deeper than {MAX_DEPTH}"
        elif number > MOST_EVENTS:
            fault = f"more than {MOST_EVENTS} values"
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            fault = "an anchor or alias"
        elif getattr(event, "tag", None):
            fault = "a tag"
        if fault:
            mark = event.start_mark
            raise EnsureInvalid(f"line {mark.line + 1}, column {mark.column + 1}: {fault}")
