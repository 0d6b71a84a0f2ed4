"""`make demo`: real packages from this machine's real index, through Orchard, then without the index.

For pip, uv, npm, mvn, gradle and cargo, each with an Orchard of its own: install directly, install cold
through Orchard, install warm, then stop Orchard, let every page expire, start it again with
ORCHARD_OFFLINE=true and install once more. Client caches are empty each time. Prints a table and exits 1
if an install failed, if the offline round connected anywhere, or if it gave other files than the cold one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench import demo_cargo, demo_gradle, demo_maven
from bench.harness import processes
from bench.harness.orchard import environment
from bench.harness.table import print_rows
from bench.harness.work_folders import work_folder

PACKAGES: tuple[tuple[str, ...], ...] = (
    ("flask",),  # pure, a handful of dependencies
    ("numpy",),  # native, one large wheel, a page with thousands of files
    ("cryptography",),  # native, abi3
    ("requests[socks]",),  # an extra
    ("boto3",),  # many files, a large pure wheel
)
APP: tuple[tuple[str, ...], ...] = (
    (  # what a front end of today pulls in: several hundred packages
        "vite", "react", "react-dom", "@vitejs/plugin-react", "typescript", "eslint", "typescript-eslint",
        "eslint-plugin-react", "eslint-plugin-jsx-a11y", "eslint-plugin-import", "prettier", "vitest",
        "jsdom", "@testing-library/react", "express",
    ),
)  # fmt: skip
INDEX_TTL_SECONDS = 20
"""Pages expire this soon in the demo, so that the offline round meets expired pages only."""

Install = Callable[[Sequence[str], str, Path], None]


class Ecosystem(msgspec.Struct, frozen=True):
    """What is installed by which clients, and where its registry lies on an Orchard."""

    mount: str
    packages: tuple[tuple[str, ...], ...]
    tools: dict[str, Install]


class Round(msgspec.Struct):
    """What one round over all packages took and asked."""

    seconds: dict[str, float]
    digest: str
    packages: int = 0
    upstream_requests: float = 0
    upstream_connects: float = 0
    upstream_bytes: float = 0
    served_bytes: float = 0


class Running(msgspec.Struct):
    """A started Orchard of the demo."""

    port: int
    process: subprocess.Popen[bytes]
    logs: Path  # its data folder's

    def index(self, mount: str) -> str:
        return f"http://127.0.0.1:{self.port}/{mount}"


def main() -> int:
    """Run the demo; see the module's first lines for what makes it fail."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    parser.add_argument(
        "--only",
        default="",
        choices=("pypi", "npm", "maven", "cargo"),
        help="one ecosystem alone, by its protocol's name",
    )
    options = parser.parse_args()
    ecosystems = {
        "pypi": Ecosystem("pypi/simple/", PACKAGES, {"pip": pip, "uv": _uv}),
        "npm": Ecosystem("npm/", APP, {"npm": npm}),
        "maven": Ecosystem(
            "maven/", demo_maven.PROJECT, {"mvn": demo_maven.package, "gradle": demo_gradle.assemble}
        ),
        "cargo": Ecosystem("cargo/", demo_cargo.PROJECT, {"cargo": demo_cargo.fetch}),
    }
    for name, command in (("npm", "npm"), ("maven", "mvn"), ("maven", "gradle"), ("cargo", "cargo")):
        if shutil.which(command) is None:
            print(f"{command} is not installed: its part is left out")
            del ecosystems[name].tools[command]
    ecosystems = {name: each for name, each in ecosystems.items() if each.tools}
    if options.only and options.only not in ecosystems:
        print(f"FAILED: nothing of {options.only} could be run here")
        return 1
    failures: list[str] = []
    with work_folder("demo", keep=options.keep) as work:
        for name, ecosystem in ecosystems.items():
            if options.only in ("", name):
                failures += _demo(work, ecosystem)
    for failure in failures:
        print(f"FAILED: {failure}")
    print("demo: " + ("failed" if failures else "all installs succeeded, also with the index cut off"))
    return 1 if failures else 0


def _demo(work: Path, ecosystem: Ecosystem) -> list[str]:
    tools = ecosystem.tools
    failures: list[str] = []
    rows: list[Sequence[str]] = [
        ("package", *(f"{tool} {kind}" for tool in tools for kind in ("direct", "cold", "warm", "offline")))
    ]
    columns: dict[str, dict[str, Round]] = {}
    for tool, install in tools.items():
        try:
            columns[tool] = _rounds(work / tool, tool, install, ecosystem)
        except subprocess.CalledProcessError as error:
            failures.append(
                f"{tool}: an install failed\n{(error.stderr or b'').decode(errors='replace')[-2000:]}"
            )
            return failures
        rounds = columns[tool]
        if rounds["offline"].upstream_connects or rounds["offline"].upstream_requests:
            failures.append(
                f"{tool}: the offline round made {rounds['offline'].upstream_connects:g} connects upstream"
            )
        if rounds["offline"].digest != rounds["cold"].digest:
            failures.append(f"{tool}: the offline round installed other files than the cold one")
    for package in [_label(each) for each in ecosystem.packages]:
        cells = [
            f"{columns[t][kind].seconds[package]:.2f} s"
            for t in tools
            for kind in ("direct", "cold", "warm", "offline")
        ]
        rows.append((package, *cells))
    totals = [
        f"{sum(columns[t][kind].seconds.values()):.2f} s"
        for t in tools
        for kind in ("direct", "cold", "warm", "offline")
    ]
    rows.append(("total", *totals))
    for label, read in (
        ("packages", lambda each: f"{each.packages}"),
        ("upstream requests", lambda each: f"{each.upstream_requests:g}"),
        ("upstream connects", lambda each: f"{each.upstream_connects:g}"),
        ("from upstream", lambda each: f"{each.upstream_bytes / 1e6:.1f} MB"),
        ("bytes saved", lambda each: f"{max(0.0, each.served_bytes - each.upstream_bytes) / 1e6:.1f} MB"),
    ):
        cells = [
            "–" if kind == "direct" and label != "packages" else read(columns[t][kind])
            for t in tools
            for kind in ("direct", "cold", "warm", "offline")
        ]
        rows.append((label, *cells))
    print()
    print_rows(rows)
    return failures


def _rounds(work: Path, tool: str, install: Install, ecosystem: Ecosystem) -> dict[str, Round]:
    work.mkdir(parents=True)
    rounds: dict[str, Round] = {}
    print(f"{tool}: directly from this machine's index …", flush=True)
    rounds["direct"] = _round(work, install, ecosystem, None)
    orchard = start(work)
    try:
        print(f"{tool}: cold through Orchard …", flush=True)
        rounds["cold"] = _round(work, install, ecosystem, orchard)
        print(f"{tool}: warm …", flush=True)
        rounds["warm"] = _round(work, install, ecosystem, orchard)
        time.sleep(3)  # extraction and back-fill of the last files
    finally:
        processes.stop(orchard.process)
    print(f"{tool}: pages expire, Orchard restarts with ORCHARD_OFFLINE=true …", flush=True)
    time.sleep(INDEX_TTL_SECONDS * 1.2)
    orchard = start(work, offline="true")
    try:
        print(f"{tool}: offline …", flush=True)
        rounds["offline"] = _round(work, install, ecosystem, orchard)
    finally:
        processes.stop(orchard.process)
    return rounds


def start(work: Path, **settings: object) -> Running:
    """An Orchard of its own on a folder, before this machine's default registries."""
    port = processes.free_port()
    env = environment(port=port, data_dir=work / "data", cache_ttl_index=INDEX_TTL_SECONDS, **settings)
    log = (work / "orchard.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "services.standalone"], env=env, stdout=log, stderr=log, start_new_session=True
    )
    try:
        processes.wait_http(f"http://127.0.0.1:{port}/health/ready", process)
    except RuntimeError:
        print((work / "orchard.log").read_text(errors="replace")[-3000:], file=sys.stderr)
        processes.stop(process)
        raise
    return Running(port, process, work / "data" / "logs")


def _label(packages: Sequence[str]) -> str:
    return " ".join(packages[:2]) + (f" … ({len(packages)})" if len(packages) > 2 else "")


def _round(work: Path, install: Install, ecosystem: Ecosystem, orchard: Running | None) -> Round:
    before = figures(orchard)
    index = orchard.index(ecosystem.mount) if orchard is not None else ""
    count = 0
    seconds: dict[str, float] = {}
    digest = hashlib.sha256()
    for packages in ecosystem.packages:
        target = work / "target"
        for folder in ("target", "client-cache"):
            shutil.rmtree(work / folder, ignore_errors=True)
        started = time.perf_counter()
        install(packages, index, target)
        seconds[_label(packages)] = time.perf_counter() - started
        digest.update(digest_of(target).encode())
        count += _count(target)
    after = figures(orchard)
    result = Round(seconds, digest.hexdigest(), count)
    if orchard is not None:
        for name in ("upstream_requests", "upstream_connects", "upstream_bytes", "served_bytes"):
            setattr(result, name, after[name] - before[name])
    return result


def figures(orchard: Running | None) -> dict[str, float]:
    """Counters of the gateway and of the fetcher, whose address its log tells."""
    if orchard is None:
        return {}
    base = f"http://127.0.0.1:{orchard.port}"
    started = re.findall(r'"address":"([^"]+)"', (orchard.logs / "fetcher.log").read_text(errors="replace"))
    texts = [_get(f"http://{address}/metrics").decode() for address in started[-1:]]
    gateway = _get(f"{base}/metrics").decode()
    return {
        "upstream_requests": sum(_sum(text, "orchard_upstream_requests_total") for text in texts),
        "upstream_connects": sum(_sum(text, "orchard_upstream_connects_total") for text in texts),
        "upstream_bytes": sum(_sum(text, "orchard_upstream_bytes_total") for text in texts),
        "served_bytes": _sum(gateway, "orchard_bytes_served_total"),
    }


def _sum(text: str, metric: str) -> float:
    return sum(
        float(value) for value in re.findall(rf"^{metric}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.MULTILINE)
    )


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def digest_of(target: Path) -> str:
    """One digest over the names and bytes of what was installed (not over what clients generate)."""
    digest = hashlib.sha256()
    for path in sorted(target.rglob("*")):
        generated = path.suffix == ".pyc" or path.name in (
            "RECORD",
            "INSTALLER",
            "REQUESTED",
            "direct_url.json",
            ".lock",
            "uv_cache.json",
            "package-lock.json",  # holds the registry's address
            ".package-lock.json",
        )
        if path.is_file() and not generated and path.parent.name != "bin":
            digest.update(str(path.relative_to(target)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _count(target: Path) -> int:
    """How many packages were installed."""
    manifests = (path.parent for path in (target / "node_modules").rglob("package.json"))
    node = sum(each.parent.name == "node_modules" or each.parent.name.startswith("@") for each in manifests)
    maven = sum(1 for _ in target.rglob("*.pom"))
    return node + maven + sum(1 for each in ("*.dist-info", "*.crate") for _ in target.glob(each))


def npm(packages: Sequence[str], index: str, target: Path) -> None:
    target.mkdir()
    about = {
        "name": "demo",
        "version": "1.0.0",
        "private": True,
        "dependencies": dict.fromkeys(packages, "*"),
    }
    (target / "package.json").write_bytes(msgspec.json.encode(about))
    command = ["npm", "install", "--prefix", str(target), "--cache", str(target.parent / "client-cache")]
    command += ["--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    if index:
        command += ["--registry", index, "--userconfig", os.devnull]
    run_client(command, through_orchard=bool(index))


def pip(packages: Sequence[str], index: str, target: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--no-compile",
        "--no-input",
    ]
    command += ["--disable-pip-version-check", "--target", str(target)]
    if index:
        command += ["--index-url", index]
    run_client([*command, *packages], through_orchard=bool(index))


def _uv(packages: Sequence[str], index: str, target: Path) -> None:
    command = [
        str(Path(sys.executable).parent / "uv"),
        "pip",
        "install",
        "--quiet",
        "--python",
        sys.executable,
    ]
    command += ["--target", str(target), "--cache-dir", str(target.parent / "client-cache")]
    if index:
        command += ["--no-config", "--default-index", index]
    run_client([*command, *packages], through_orchard=bool(index))


def run_client(command: Sequence[str], *, through_orchard: bool) -> None:
    """Run a client. Through Orchard it gets none of this machine's own index settings."""
    env = dict(os.environ)
    env.pop("PIP_FIND_LINKS", None)  # local archives would hide the index in every round
    env.pop("UV_FIND_LINKS", None)
    if through_orchard:
        for name in list(env):
            if name.lower().startswith(("pip_", "uv_", "npm_config_")):
                del env[name]
        env["PIP_CONFIG_FILE"] = os.devnull
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=600)


if __name__ == "__main__":
    sys.exit(main())
