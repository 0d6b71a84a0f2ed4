"""Projects of npm's clients, and how many packages each has installed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

_APP = """import { createRoot } from 'react-dom/client'
createRoot(document.body).render('it runs')
"""
_PAGE = '<!doctype html><html><body><script type="module" src="/main.js"></script></body></html>\n'


def package(dependencies: Sequence[str], base: str) -> dict[str, str]:
    """`name@range` each. The empty yarn.lock makes a folder a project of its own for yarn 4."""
    wanted = dict(each.rsplit("@", 1) for each in dependencies)
    about = {"name": "app", "version": "1.0.0", "private": True, "type": "module", "dependencies": wanted}
    return {"package.json": json.dumps(about, indent=2), "yarn.lock": ""}


def vite_app(dependencies: Sequence[str], base: str) -> dict[str, str]:
    """One that vite can pack."""
    return {"package.json": package(dependencies, base)["package.json"], "index.html": _PAGE, "main.js": _APP}


def npm_count(folder: Path) -> int:
    """Packages of other systems, which its lock names too, are not counted."""
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    return sum(1 for path in locked if path and (folder / path / "package.json").exists())


def pnpm_count(folder: Path) -> int:
    """Each has a folder with its version in its name."""
    return sum(1 for each in (folder / "node_modules" / ".pnpm").iterdir() if "@" in each.name)


def yarn_count(folder: Path) -> int:
    """Those of its lock that come from a registry."""
    return len(re.findall(r'^  resolution: ".+@npm:', (folder / "yarn.lock").read_text(), re.MULTILINE))
