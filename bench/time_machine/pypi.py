"""PyPI: `uv pip compile` through the view beside `uv pip compile --exclude-newer` through the plain index.

Locks are compared with the hashes of all files that uv saw: a wheel that was added later is a difference.
uv leaves out what was uploaded in the very second; the view has it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import httpx

from bench.time_machine.compared import Compared, Outcome, client, differing, last_words, refusals

ROOTS = (
    "flask", "requests", "httpx", "click", "jinja2", "attrs", "pydantic", "fastapi", "starlette", "uvicorn",
    "django", "sqlalchemy", "alembic", "rich", "typer", "pytest", "black", "mypy", "isort", "flake8", "tox",
    "numpy", "pandas", "matplotlib", "pillow", "cryptography", "paramiko", "redis", "celery", "aiohttp",
    "beautifulsoup4", "lxml", "pyyaml", "marshmallow", "tqdm", "urllib3<2", "werkzeug", "gunicorn",
    "psycopg[binary]", "trio", "anyio", "virtualenv", "networkx", "packaging", "jsonschema", "twine",
)  # fmt: skip
PYTHON = ("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28")
JSON = "application/vnd.pypi.simple.v1+json"


def compare(base: str, moments: Sequence[str], roots: Sequence[str], work: Path) -> Iterator[Compared]:
    """Each root at each moment (RFC 3339); `base` is Orchard's address. Of wheels alone: what must be
    built first is downloaded first."""
    for moment, root in product(moments, roots):
        view = _lock(f"{base}/v/at-{moment}/pypi/simple/", root, work)
        oracle = _lock(f"{base}/pypi/simple/", root, work, "--exclude-newer", moment)
        why = [_explained(base, moment, name, view, oracle) for name in differing(view, oracle)]
        yield Compared(root, moment, view, oracle, (*why, *refusals(view, oracle)))


def _lock(index: str, root: str, work: Path, *options: str) -> Outcome:
    work.mkdir(parents=True, exist_ok=True)
    (work / "root.in").write_text(f"{root}\n")
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "compile", "--quiet", "--no-config", "--no-header"]
    uv += ["--no-annotate", "--generate-hashes", "--no-build", *PYTHON, "--default-index", index, *options]
    code, out, err = client([*uv, "--cache-dir", str(work / "cache"), "root.in"], work, work / "home")
    if code:
        return Outcome(None, last_words(err.splitlines()))
    lock: dict[str, str] = {}
    for pin in out.replace("\\\n", " ").splitlines():
        wanted, *hashes = pin.split()
        name, _, version = wanted.partition("==")
        lock[name] = " ".join([version, *sorted(hashes)])
    return Outcome(lock)


def _explained(base: str, moment: str, name: str, view: Outcome, oracle: Outcome) -> str:
    """What the plain page says of the versions that the two took."""
    took = [(outcome.lock or {}).get(name, "") for outcome in (view, oracle)]
    versions = [each.partition(" ")[0] or "without it" for each in took]
    page = httpx.get(
        f"{base}/pypi/simple/{name.partition('[')[0]}/", headers={"accept": JSON}, trust_env=False, timeout=60
    )
    files = page.json()["files"] if page.status_code == 200 else []
    notes = []
    for entry in files:
        sha256 = entry["hashes"].get("sha256", "")
        one_side = sum(f"sha256:{sha256}" in each for each in took) == 1
        if one_side and (note := _note(entry, moment)):
            notes.append(f"{entry['filename']} {note}")
    told = "; ".join(notes[:4]) or "follows from another difference, or is not explained"
    return f"{name}: view {versions[0]}, oracle {versions[1]}: {told}"


def _note(entry: dict[str, object], moment: str) -> str:
    uploaded = str(entry.get("upload-time") or "")
    if not uploaded:
        return "has no upload time: it counts from when this Orchard saw it first"
    if uploaded[:19] == moment[:19]:
        return "was uploaded in that very second"
    if uploaded[:19] > moment[:19]:
        return f"was uploaded later ({uploaded}): WRONG"
    return "is yanked" if entry.get("yanked") else ""
