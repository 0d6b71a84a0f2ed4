"""Prints docs/errors.md from the error catalogue, so that the page and the code cannot differ."""

from __future__ import annotations

import sys

from shared.errors import CATALOGUE

HEAD = """\
# Errors

Every error answer is a problem document (RFC 9457, `application/problem+json`) with `code`, `detail`,
`hint` and `request_id`. Whatever a retry may cure is 503 with `Retry-After`: the one status that pip
(old and new), uv, npm and Maven all retry. An upstream's trouble is never a 404.

This page is generated: `python -m scripts.errors_page > docs/errors.md`.

| code | status | retry helps | what to do |
|---|---|---|---|
"""


def main() -> None:
    """Write the page to standard output."""
    rows = [
        f"| `{code}` | {error.status} | {'yes' if error.retryable else 'no'} | {error.hint} |"
        for code, error in sorted(CATALOGUE.items())
    ]
    sys.stdout.write(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
