"""`python -m bench.resolution_oracle`: resolutions of real roots beside those of pip and uv.

All three ask one Orchard, which asks this machine's own index. pip runs as `install --dry-run
--report` in a clean environment; the Orchard resolves for the interpreter and platform that pip has.
Every difference is printed. uv is shown for orientation: it and pip differ at times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bench import resolution_oracle_maven, resolution_oracle_npm, resolution_oracle_random
from bench.harness.orchard import Orchard, orchard
from bench.harness.work_folders import work_folder
from shared.default_upstreams import default_upstream

ROOTS = (
    "flask", "requests", "httpx[http2]>=0.27", "django", "fastapi", "uvicorn[standard]", "pandas",
    "scikit-learn", "jupyterlab", "notebook", "black", "pytest", "tox", "poetry", "boto3", "celery[redis]",
    "sqlalchemy[asyncio]", "aiohttp", "scrapy", "sphinx", "mkdocs-material", "ansible-core", "twine",
    "ipython", "matplotlib", "pydantic-settings", "dask[complete]", "openai", "langchain", "streamlit",
    "google-cloud-storage", "kubernetes", "pre-commit", "mypy", "typer", "prefect", "great-expectations",
    "botocore<1.30", "urllib3<2,>=1.26", "django<5",
)  # fmt: skip
PIP = Path(__file__).resolve().parents[1] / ".cache" / "clients" / "pip-newest" / "bin" / "python"
PIP_SECONDS = 300
ORCHARD_SECONDS = 180

Versions = dict[str, str]


class Compared(msgspec.Struct):
    """One root's outcome."""

    root: str
    pip: Versions | None
    ours: Versions | None
    uv: Versions | None
    error: str = ""
    cold_seconds: float = 0.0  # from an Orchard that may know none of it
    again_seconds: float = 0.0  # another key, all documents known
    pip_seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        return self.pip == self.ours


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing of this machine's own client settings, which could name other indexes or wheels."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "PIP_CONFIG_FILE": os.devnull}


def by_pip(index: str, root: str, home: Path) -> tuple[Versions | None, str]:
    """Name → version of pip's report, and what it said when it failed."""
    report = home / "report.json"
    report.unlink(missing_ok=True)
    command = [
        str(PIP), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-cache-dir",
        "--index-url", index, "--report", str(report), root,
    ]  # fmt: skip
    done = run(command, home)
    if done.returncode or not report.exists():
        return None, done.stderr.strip()[-300:]
    installed = json.loads(report.read_bytes())["install"]
    return {canonical(each["metadata"]["name"]): each["metadata"]["version"] for each in installed}, ""


def by_uv(index: str, root: str, home: Path) -> Versions | None:
    """Name → version of `uv pip compile`."""
    source = home / "root.in"
    source.write_text(f"{root}\n")
    command = [
        str(Path(sys.executable).parent / "uv"), "pip", "compile", "--quiet", "--no-header", "--no-annotate",
        "--default-index", index, "--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_36",
        "--cache-dir", str(home / "uv"), str(source),
    ]  # fmt: skip
    done = run(command, home)
    if done.returncode:
        return None
    pins = (line.split(";")[0].strip() for line in done.stdout.splitlines() if "==" in line)
    return {canonical(pin.partition("==")[0].partition("[")[0]): pin.partition("==")[2] for pin in pins}


def run(command: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    """A client's run, in time or failed."""
    try:
        return subprocess.run(
            list(command), env=clean_environment(home), capture_output=True, text=True, timeout=PIP_SECONDS
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(list(command), 1, "", f"took longer than {PIP_SECONDS} s")


def by_orchard(server: Orchard, root: str, **options: Any) -> tuple[dict[str, Any] | None, str, float]:
    """The resolution, or why there is none, and seconds."""
    started = time.monotonic()
    while time.monotonic() - started < ORCHARD_SECONDS:
        answer = httpx.post(
            server.url("/api/v1/resolve"),
            json={"requirements": [root], **options},
            timeout=60,
            trust_env=False,
        )
        if answer.status_code == 200:
            return answer.json(), "", time.monotonic() - started
        if answer.status_code not in (202, 503):
            return None, answer.json()["detail"][:600], time.monotonic() - started
    return None, f"not ready in {ORCHARD_SECONDS} s", time.monotonic() - started


def canonical(name: str) -> str:
    """PEP 503."""
    return name.lower().replace("_", "-").replace(".", "-")


def compare(server: Orchard, root: str, home: Path, *, uv: bool) -> Compared:
    """One root by all resolvers."""
    index = server.url("/pypi/simple/")
    graph, error, cold = by_orchard(server, root)
    _, _, again = by_orchard(server, root, max_depth=49)
    started = time.monotonic()
    pip, said = by_pip(index, root, home)
    seconds = time.monotonic() - started
    ours = None
    if graph is not None:
        ours = {node["name"]: node["version"] for node in graph["nodes"]}
        if not graph["complete"] or graph["unresolved"]:
            error = "; ".join(f"{each['name']}: {each['reason']}" for each in graph["unresolved"])[:300]
    return Compared(
        root, pip, ours, by_uv(index, root, home) if uv else None, error or said, cold, again, seconds
    )


def differences(left: Mapping[str, str], right: Mapping[str, str], names: tuple[str, str]) -> list[str]:
    """One line for each project in which two outcomes differ."""
    return [
        f"{name}: {names[0]} {left.get(name, 'without it')}, {names[1]} {right.get(name, 'without it')}"
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    ]


def show(one: Compared) -> None:
    """One root's line, and one for each difference."""
    nodes = len(one.ours or {})
    uv = (
        ""
        if one.uv is None or one.pip is None
        else f"  uv: {len(differences(one.pip, one.uv, ('', '')))} differ"
    )
    print(
        f"{'agrees ' if one.agrees else 'DIFFERS'} {one.root:24} {nodes:4} nodes"
        f"  cold {one.cold_seconds:6.2f} s  known documents {one.again_seconds:5.2f} s"
        f"  pip {one.pip_seconds:6.2f} s{uv}",
        flush=True,
    )
    if one.error:
        print(f"          {one.error}")
    if not one.agrees and one.pip is not None and one.ours is not None:
        for line in differences(one.pip, one.ours, ("pip", "orchard")):
            print(f"          {line}", flush=True)


def main() -> int:
    """Exit 1 when fewer than nine roots in ten agree."""
    parser = argparse.ArgumentParser(prog="python -m bench.resolution_oracle", description=__doc__)
    parser.add_argument("roots", nargs="*", metavar="REQUIREMENT", help="default: a list of well-known ones")
    parser.add_argument("--protocol", default="pypi", choices=("pypi", "npm", "maven"))
    parser.add_argument("--no-uv", action="store_true", help="leave uv out")
    parser.add_argument("--random", type=int, metavar="SEED", help="maven: made-up repositories instead")
    parser.add_argument("--at", default="", metavar="URL", help="npm, maven: ask this running Orchard")
    parser.add_argument("--keep", action="store_true", help="keep the Orchard's folder and log")
    options = parser.parse_args()
    if options.protocol == "npm":
        return resolution_oracle_npm.run(options.roots, at=options.at, keep=options.keep)
    if options.protocol == "maven" and options.random is not None:
        return resolution_oracle_random.run(options.random, keep=options.keep)
    if options.protocol == "maven":
        return resolution_oracle_maven.run(options.roots, at=options.at, keep=options.keep)
    if not PIP.exists():
        print("pip is not installed: run 'make client-tools'", file=sys.stderr)
        return 2
    upstream, origin = default_upstream("pypi", {}, 0)
    print(f"upstream: {origin}")
    compared = []
    with (
        work_folder("resolution-oracle", keep=options.keep) as work,
        orchard(work / "data", upstream=upstream, pin=False) as server,
    ):
        for root in options.roots or ROOTS:
            compared.append(compare(server, root, work, uv=not options.no_uv))
            show(compared[-1])
    agreed = sum(one.agrees for one in compared)
    print(f"{agreed} of {len(compared)} roots agree with pip ({100 * agreed / len(compared):.0f} %)")
    return 0 if agreed >= 0.9 * len(compared) else 1


if __name__ == "__main__":
    sys.exit(main())
