"""Counts each protocol's own logic, to hold "a protocol is cheap" to a number.

A line counts when it holds code: no blank lines, comments, docstrings or imports, and no line that has
brackets and commas alone. Printed per protocol and module; a folder in it (a resolver) counts as one.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

from shared.protocols import PROTOCOLS

FOLDER = Path(__file__).resolve().parent.parent / "shared" / "protocols"
_PUNCTUATION = re.compile(r"[\s()\[\]{},:]*")
_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def code_lines(source: str) -> int:
    """How many lines of a module hold code of its own."""
    without: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Import | ast.ImportFrom) or (text and isinstance(node.value.value, str)):
            without.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE and token.string:
            found.update(range(token.start[0], token.end[0] + 1))
    lines = source.splitlines()
    return sum(
        number not in without and not _PUNCTUATION.fullmatch(lines[number - 1])
        for number in found
        if number <= len(lines)
    )


def main() -> int:
    """Print the counts."""
    for protocol in PROTOCOLS:
        sizes: dict[str, int] = {}
        for path in sorted((FOLDER / protocol.name).rglob("*.py")):
            part = path.relative_to(FOLDER / protocol.name).parts[0].removesuffix(".py")
            sizes[part] = sizes.get(part, 0) + code_lines(path.read_text())
        each = ", ".join(f"{part} {size}" for part, size in sizes.items() if size)
        sys.stdout.write(f"{protocol.name}: {sum(sizes.values())} ({each})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
