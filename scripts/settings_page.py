"""Prints docs/settings.md from shared/settings.py: names, defaults and the comments beside them."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from shared.protocols import PROTOCOLS
from shared.settings import Settings, age_variable, timeout_variable, upstream_variable, variable

SOURCE = Path(__file__).resolve().parent.parent / "shared" / "settings.py"
BY_PROTOCOL = {
    "upstreams": upstream_variable,
    "request_timeouts": timeout_variable,
    "minimum_ages": age_variable,
}
HEAD = """\
# Settings

All settings are environment variables, or keys of the file that `ORCHARD_SETTINGS_FILE` names, read once at
start. An unknown name or a bad value
stops the start with one line that names it. Every service knows all names, so one environment serves
them all. Lists are comma-separated; times are in seconds; sizes in bytes.

This page is generated: `python -m scripts.settings_page > docs/settings.md`.
"""


def main() -> None:
    """Write the page to standard output. Raises `SystemExit` for a setting that nothing is said of."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    (settings,) = (
        node for node in ast.parse(SOURCE.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == Settings.__name__
    )  # fmt: skip
    fields = {each.lineno: each for each in settings.body if isinstance(each, ast.AnnAssign)}
    comments = _comments()
    out = [HEAD]
    for line in range(settings.lineno, (settings.end_lineno or 0) + 1):
        if comments.get(line, "").startswith("--- not variables"):
            break
        section = re.fullmatch(r"--- (.+?) -+", comments.get(line, ""))
        if section:
            out.append(f"\n## {_title(section.group(1).strip())}\n\n| variable | default | |\n|---|---|---|")
        elif line in fields:
            out += _rows(fields[line], defaults, comments)
    sys.stdout.write("\n".join(out) + "\n")


def _comments() -> dict[int, str]:
    """By the number of its line."""
    with SOURCE.open("rb") as file:
        return {
            each.start[0]: each.string.lstrip("# ")
            for each in tokenize.tokenize(file.readline)
            if each.type == tokenize.COMMENT
        }


def _rows(field: ast.AnnAssign, defaults: dict[str, object], comments: dict[int, str]) -> Iterator[str]:
    name = ast.unparse(field.target)
    lines = range(field.lineno, (field.end_lineno or 0) + 1)  # a long field is written over several
    comment = " ".join(comments[each] for each in lines if each in comments).replace("|", "/")
    if not comment:
        sys.exit(f"{SOURCE.name}:{field.lineno}: {name} has no comment that says what it is")
    if name in BY_PROTOCOL:
        yield from _by_protocol(BY_PROTOCOL[name], comment)
    else:
        yield f"| `{variable(name)}` | {_shown(defaults[name])} | {comment} |"


def _by_protocol(make: Callable[[str], str], comment: str) -> Iterator[str]:
    """A row for each protocol, the first with the comment."""
    if make is age_variable:  # which has a variable for all of them, too
        yield f"| `{make('')}` | | {comment} |"
        comment = f"instead of `{make('')}`, for one protocol; 0: no such rule"
    for number, protocol in enumerate(PROTOCOLS):
        default = f"{protocol.setup.client_seconds:g} s"
        text = comment.replace("{default}", default) if not number or "{default}" in comment else ""
        yield f"| `{make(protocol.name)}` | | {text or f'as {make(PROTOCOLS[0].name)}'} |"


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(value: object) -> str:
    if value in ("", (), None):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):  # as one writes it
        return f"`{','.join(value)}`"
    return f"`{value}`"


if __name__ == "__main__":
    main()
