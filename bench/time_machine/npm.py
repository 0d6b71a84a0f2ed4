"""npm: `npm install --package-lock-only` through the view beside the same with `--before` through the plain
registry. Locks are compared by folder, version and integrity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import httpx

from bench.resolution_oracle_npm import NPM, split
from bench.time_machine.compared import Compared, Outcome, client, differing, last_words, refusals

ROOTS = (
    "express", "koa", "chalk", "commander", "yargs", "debug", "semver", "glob", "rimraf", "minimatch", "uuid",
    "lodash", "axios", "undici", "ws", "dotenv", "cors", "body-parser", "morgan", "helmet", "jsonwebtoken",
    "mocha", "chai", "prettier", "typescript", "rollup", "esbuild", "postcss", "autoprefixer", "sass", "less",
    "react", "react-dom", "redux", "vue", "svelte", "preact", "zod", "joi", "ajv", "rxjs", "immer",
    "date-fns", "dayjs", "pino", "ora", "execa", "fs-extra", "chokidar", "nodemon",
)  # fmt: skip


def compare(base: str, moments: Sequence[str], roots: Sequence[str], work: Path) -> Iterator[Compared]:
    """Each root at each moment (RFC 3339); `base` is Orchard's address."""
    for moment, root in product(moments, roots):
        view = _lock(f"{base}/v/at-{moment}/npm/", root, work)
        oracle = _lock(f"{base}/npm/", root, work, f"--before={moment}")
        why = [_explained(base, moment, folder, view, oracle) for folder in differing(view, oracle)]
        yield Compared(root, moment, view, oracle, (*why, *refusals(view, oracle)))


def _lock(registry: str, root: str, work: Path, *options: str) -> Outcome:
    project = work / "project"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    manifest = {"name": "oracle", "version": "1.0.0", "dependencies": dict([split(root)])}
    (project / "package.json").write_text(json.dumps(manifest))
    npm = [str(NPM), "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    npm += ["--no-update-notifier", "--registry", registry, "--cache", str(work / "cache"), *options]
    code, _, err = client(npm, project, work / "home")
    if code or not (project / "package-lock.json").exists():
        return Outcome(None, last_words(line for line in err.splitlines() if "npm error" in line))
    packages = json.loads((project / "package-lock.json").read_bytes())["packages"]
    return Outcome({folder: _entry(folder, each) for folder, each in packages.items() if folder})


def _entry(folder: str, entry: dict[str, Any]) -> str:
    name = entry.get("name") or folder.rpartition("node_modules/")[2]
    return (
        f"{name}@{entry.get('version')} {entry.get('integrity', 'bundled' if entry.get('inBundle') else '')}"
    )


def _explained(base: str, moment: str, folder: str, view: Outcome, oracle: Outcome) -> str:
    """What the plain document says of the versions that the two took, and which tags they are."""
    took = [(outcome.lock or {}).get(folder, "").partition(" ")[0] for outcome in (view, oracle)]
    name = next(filter(None, took)).rpartition("@")[0]
    plain = _document(f"{base}/npm/{name}")
    seen = _document(f"{base}/v/at-{moment}/npm/{name}")
    notes = []
    for side, spelt in zip(("view", "oracle"), took, strict=True):
        version = spelt.rpartition("@")[2]
        if version:
            notes.append(f"{side} {version}{_note(version, plain, seen, moment)}")
    return f"{folder}: {'; '.join(notes)}" + ("" if all(took) else "; the other without it")


def _note(version: str, plain: dict[str, Any], seen: dict[str, Any], moment: str) -> str:
    told = str(plain.get("time", {}).get(version, ""))
    notes = [f"tag {tag} today" for tag, of in plain.get("dist-tags", {}).items() if of == version]
    notes += [f"tag {tag} in the view" for tag, of in seen.get("dist-tags", {}).items() if of == version]
    if not told:
        notes.append("no time: it counts from when this Orchard saw it first")
    elif datetime.fromisoformat(told) > datetime.fromisoformat(moment):
        notes.append(f"published later, {told}: WRONG")
    if plain.get("versions", {}).get(version, {}).get("deprecated"):
        notes.append("deprecated")
    if version not in plain.get("versions", {}):
        notes.append("not listed")
    return f" ({', '.join(notes)})" if notes else ""


def _document(url: str) -> dict[str, Any]:
    answer = httpx.get(url, trust_env=False, timeout=60)
    found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    return found
