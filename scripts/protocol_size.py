"""Counts each protocol's own logic, to hold "a protocol is cheap" to a number.

A line counts when it holds code: no blank lines, comments, docstrings or imports, and no line that has
brackets and commas alone. Printed per module: grammar and rewriting (addresses in, documents out), readers of
the upstream's documents and of packages, and what is apart from both.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOCOLS = ROOT / "shared" / "protocols"
# What is in neither list is apart: resolution, locks, bodies that are passed on.
GRAMMAR_AND_REWRITING = {
    "npm": ("names", "paths", "services", "negotiation", "upstream", "rendering", "proxy"),
    "maven": ("names", "paths", "upstream", "index", "proxy"),
}
READERS = {
    "npm": ("document", "dist", "index", "freezing", "metadata"),
    "maven": ("xml", "versions", "model", "metadata"),
}
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
    for protocol, counted in GRAMMAR_AND_REWRITING.items():
        sizes = {
            path.stem: code_lines(path.read_text())
            for path in sorted((PROTOCOLS / protocol).glob("*.py"))
            if path.stem != "__init__"
        }
        own = {name: sizes.pop(name) for name in counted}
        readers = {name: sizes.pop(name) for name in READERS[protocol]}
        for title, part in (("grammar and rewriting", own), ("readers", readers), ("apart", sizes)):
            each = ", ".join(f"{name} {size}" for name, size in part.items())
            sys.stdout.write(f"{protocol}: {title}: {sum(part.values())} ({each})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
