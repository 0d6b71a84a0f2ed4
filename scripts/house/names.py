"""Names of protocols, and words of their grammar, outside the protocols' folders: none may stand there, all
else asks the registry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from shared.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ROOT / "shared" / "protocols"
NAMES = [protocol.name for protocol in PROTOCOLS]
REGISTRY = FOLDERS / "__init__.py"
GENERATED = ROOT / "services" / "cli" / "table.py"

GRAMMAR = re.compile(
    "|".join(
        (
            r"\.(?:whl|egg|jar|pom|crate|metadata)(?![\w.])",  # endings of files
            r"\b(?:maven-metadata|package\.json|pom\.xml|Cargo\.toml|PKG-INFO|METADATA)\b",  # files by name
            r"\.dist-info|-SNAPSHOT|dist-tags",
            r"(?i:x-checksum|\{SHA1\{|npm-|cargo-protocol)",  # headers, and what stands in them
            r"\[-_\.\]",  # the spelling of names by PEP 503
            r"^:\*$",  # a group's pattern
        )
    )
)
"""What only one protocol says, in texts of code. It cannot tell a rule that has no word of its own."""

_EXAMPLE = "an example for people, in the help of a command"
_PROSE = "docs/errors.md: how clients were measured"
_MEASURED = "what is measured is one cold page and one file of one protocol"
ALLOWED: dict[str, dict[str, str]] = {
    "services/cli/parser.py": {
        "orchard resolve --protocol npm 'express@^4'": _EXAMPLE,
        "orchard resolve --protocol maven com.google.guava:guava:33.0.0-jre": _EXAMPLE,
        "orchard client-config npm --write": _EXAMPLE,
    },
    "services/cli/parser_admin.py": {
        "orchard pins set npm @corp/app private": _EXAMPLE,
        "orchard pins set maven com.corp:* releases snapshots": _EXAMPLE,
        "orchard pins set maven javax.media:jai_core central jboss": _EXAMPLE,
        "orchard blocks add pkg:pypi/evil-package --reason 'steals tokens'": _EXAMPLE,
        "orchard blocks add pkg:npm/left-pad@1.3.0 --reason 'broken'": _EXAMPLE,
        "orchard blocks add npm left-pad 1.3.0 --reason 'broken'": _EXAMPLE,
        "orchard who-has pkg:npm/left-pad@1.3.0": _EXAMPLE,
        "orchard who-has pkg:maven/org.apache.logging.log4j/log4j-core --since 30d": _EXAMPLE,
        "orchard why pkg:npm/left-pad@1.3.0": _EXAMPLE,
        "orchard policy test pkg:npm/left-pad@1.3.0 --file policy.toml": _EXAMPLE,
        "orchard why pkg:pypi/flask": _EXAMPLE,
        "orchard exempt add pkg:npm/left-pad@1.3.0 --reason 'fixes CVE-2026-1' --expires 7d": _EXAMPLE,
        "orchard exempt add pkg:maven/com.corp/lib --reason 'ours'": _EXAMPLE,
    },
    "scripts/errors_page.py": dict.fromkeys(
        (
            "`hint` and `request_id`; for npm's clients the same words stand in `error`.",
            "* **What a retry may cure is 503 with `Retry-After`**: the one status that pip",
            "Maven all retry.",
            "Why 424 and 403, as measured ([decision 24](decisions/0024-what-no-retry-cures.md)): npm",
            "credentials) and shows those of a 424. For a file pnpm",
            "phrase; Orchard's log tells more. npm prints",
        ),
        _PROSE,
    ),
    "shared/queue/jobs.py": dict.fromkeys(
        ("pypi", "npm", "maven"), "jobs of these were queued before protocols were told"
    ),
    "scripts/house/walks.py": {
        "pypi": _MEASURED,
        "/pypi/files/cold/": _MEASURED,
        "-py3-none-any.whl": _MEASURED,
        "/cold-1.0-py3-none-any.whl": _MEASURED,
        "/pypi/simple/": _MEASURED,
    },
}
"""File → how a line of text begins → why it may stand there."""


def named_in(source: str) -> Iterator[tuple[int, str]]:
    """Lines and texts of code that hold a protocol's name, identifiers and strings that are no prose; and
    strings of its grammar."""
    pattern = re.compile("|".join(NAMES), re.IGNORECASE)
    tree = ast.parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    prose = {id(each.value) for body in bodies for each in body if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        texts: list[str] = []
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            texts = node.value.splitlines()
        elif isinstance(node, ast.Name):
            texts = [node.id]
        elif isinstance(node, ast.Attribute):
            texts = [node.attr]
        elif isinstance(node, ast.arg | ast.keyword):
            texts = [node.arg or ""]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            texts = [node.name]
        elif isinstance(node, ast.ImportFrom):
            texts = [node.module or "", *(each.name for each in node.names)]
        elif isinstance(node, ast.alias):
            texts = [node.asname or node.name]
        for text in texts:
            if pattern.search(text) or (isinstance(node, ast.Constant) and GRAMMAR.search(text)):
                yield getattr(node, "lineno", 0), text


def _modules() -> Iterator[Path]:
    for folder in ("shared", "services", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            own = FOLDERS in path.parents and path.relative_to(FOLDERS).parts[0] in NAMES
            if not own and path not in (REGISTRY, GENERATED, Path(__file__).resolve()):
                yield path


def named_outside() -> tuple[list[str], set[tuple[str, str]]]:
    """ "file:line: text" of each that may not stand there, and the allowed ones that do: file, text."""
    found: list[str] = []
    allowed: set[tuple[str, str]] = set()
    for path in _modules():
        place = str(path.relative_to(ROOT))
        for line, text in named_in(path.read_text()):
            known = next((each for each in ALLOWED.get(place, {}) if text.strip().startswith(each)), None)
            if known is not None:
                allowed.add((place, known))
            else:
                found.append(f"{place}:{line}: {text.strip()}")
    return found, allowed
