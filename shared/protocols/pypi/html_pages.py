"""HTML as clients get it (PEP 503): what all pages begin and end with, and the link to a project."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from shared.protocols.pypi import names

END = "</body>\n</html>\n"
LIST_TITLE = "Simple index"


def head(version: str, metas: Iterable[tuple[str, str]], title: str) -> str:
    """Up to the first link; `version` of the repository's API (PEP 629)."""
    lines = (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n',
        f'<meta name="pypi:repository-version" content="{version}">\n',
        *(f'<meta name="pypi:{name}" content="{escape(content)}">\n' for name, content in metas),
        f"<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n",
    )
    return "".join(lines)


def project_link(name: str) -> str:
    """A line of the list of all projects. No character of a name needs escaping."""
    return f'<a href="{names.normalise(name)}/">{name}</a><br>\n'
