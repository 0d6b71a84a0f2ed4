"""`python -m bench.ensure`: a mixed ensure file on the real registries, then builds without them.

Posts the file to an Orchard of its own, takes lock and exports, lets every page expire, starts Orchard
again with ORCHARD_OFFLINE=true, and then runs `pip install --require-hashes`, `npm ci` and `mvn package`
with empty client caches. Exits 1 if a client failed, if the lock changed, or if anything was asked upstream.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.demo import INDEX_TTL_SECONDS, Running, figures, run_client, start
from bench.harness import processes
from bench.harness.table import print_rows
from bench.harness.work_folders import work_folder

PLUGINS = {  # what Maven binds to the phases up to `package` of a jar
    "maven-resources-plugin": "3.3.1",
    "maven-compiler-plugin": "3.13.0",
    "maven-surefire-plugin": "3.2.5",
    "maven-jar-plugin": "3.4.1",
}
PLUGIN_GROUP = "org.apache.maven.plugins"
GUAVA = ("com.google.guava", "guava", "33.0.0-jre")
EXPORTS = (
    "requirements.txt",
    "package.json",
    "package-lock.json",
    "dependency-management.xml",
    "bom.cdx.json",
)
MOST_SECONDS = 900
_PLUGIN = """
    <plugin><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></plugin>"""
_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>demo</groupId><artifactId>app</artifactId><version>1.0</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  {management}
  <dependencies>
    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId></dependency>
  </dependencies>
  <build><pluginManagement><plugins>{plugins}</plugins></pluginManagement></build>
</project>
"""
_MAIN = """package demo;
public class App {
    public static void main(String[] args) {
        System.out.println(com.google.common.base.Joiner.on(",").join("a", "b"));
    }
}
"""


def ensure_file(protocols: Sequence[str]) -> str:
    """The mixed file; the environment is this interpreter's, which pip is run with."""
    libc = platform.libc_ver()[1].partition(".")[2] or "36"
    interpreter = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tables = {
        "pypi": f'requirements = ["flask", "httpx[http2]"]\n'
        f'environment = "{interpreter}-manylinux_2_{libc}_{platform.machine()}"\n',
        "npm": 'dependencies = {express = "^4"}\n',
        "maven": f'dependencies = ["{":".join(GUAVA)}"]\n'
        f"plugins = {[f'{PLUGIN_GROUP}:{name}:{version}' for name, version in PLUGINS.items()]}\n",
    }
    return "\n".join(f"[{name}]\n{tables[name]}" for name in protocols)


def main() -> int:
    """Run the proof; see the module's first lines for what makes it fail."""
    parser = argparse.ArgumentParser(prog="python -m bench.ensure", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    parser.add_argument(
        "--only", action="append", choices=("pypi", "npm", "maven"), help="these tables alone (repeatable)"
    )
    options = parser.parse_args()
    protocols = options.only or ["pypi", "npm", "maven"]
    for name, command in (("npm", "npm"), ("maven", "mvn")):
        if name in protocols and shutil.which(command) is None:
            print(f"{command} is not installed: its part is left out")
            protocols.remove(name)
    with work_folder("ensure", keep=options.keep) as work:
        failures = _prove(work, protocols)
    for failure in failures:
        print(f"FAILED: {failure}")
    print("ensure: " + ("failed" if failures else "all builds succeeded with the registries cut off"))
    return 1 if failures else 0


def _prove(work: Path, protocols: Sequence[str]) -> list[str]:
    text = ensure_file(protocols)
    print(text)
    orchard = start(work)
    try:
        before = figures(orchard)
        began = time.perf_counter()
        cold = _ensured(orchard, text)
        cold_seconds = time.perf_counter() - began
        lock: dict[str, Any] = msgspec.json.decode(cold)
        after = figures(orchard)
        began = time.perf_counter()
        same = _ensured(orchard, text) == cold
        warm_seconds = time.perf_counter() - began
    finally:
        processes.stop(orchard.process)
    failures = [] if lock["complete"] else [f"the lock lacks {each}" for each in lock["missing"][:10]]
    failures += [] if same else ["the second answer differs from the first"]
    print_rows(_figures_of(lock, cold_seconds, warm_seconds, before, after))
    if failures:
        return failures
    print(f"\npages expire ({INDEX_TTL_SECONDS} s), Orchard restarts with ORCHARD_OFFLINE=true …", flush=True)
    time.sleep(INDEX_TTL_SECONDS * 1.2)
    orchard = start(work, offline="true")
    try:
        return _offline(work, orchard, text, cold, lock)
    finally:
        processes.stop(orchard.process)


def _figures_of(
    lock: dict[str, Any], cold: float, warm: float, before: dict[str, float], after: dict[str, float]
) -> list[tuple[str, ...]]:
    packages = {
        name: [
            each
            for graph in (table, *table.get("plugins", ()))
            for each in graph["packages"] + graph.get("documents", [])
        ]
        for name, table in lock["protocols"].items()
    }
    rows = [("table", "files", "MB")]
    for name, files in packages.items():
        distinct = {each["path"]: each["size_bytes"] for each in files if each["sha256"]}
        rows.append((name, f"{len(distinct)}", f"{sum(distinct.values()) / 1e6:.1f}"))
    rows.append(("all", f"{lock['files']}", f"{lock['size_bytes'] / 1e6:.1f}"))
    rows.append(("", "", ""))
    rows.append(("cold: resolved and fetched", f"{cold:.1f} s", ""))
    rows.append(("warm: the kept lock", f"{warm * 1000:.1f} ms", ""))
    for label, key in (
        ("upstream requests", "upstream_requests"),
        ("upstream connects", "upstream_connects"),
    ):
        rows.append((label, f"{after[key] - before[key]:g}", ""))
    return rows


def _offline(work: Path, orchard: Running, text: str, cold: bytes, lock: dict[str, Any]) -> list[str]:
    failures = [] if _ensured(orchard, text) == cold else ["the lock differs with the registries cut off"]
    exports = work / "exports"
    exports.mkdir()
    for name in EXPORTS:
        status, body, _ = _call(f"{_base(orchard)}/api/v1/ensures/{lock['key']}/exports/{name}")
        if status == 200:
            (exports / name).write_bytes(body)
    builds: dict[str, tuple[str, Callable[[Path, Running, Path], int]]] = {
        "pypi": ("pip install --require-hashes", _pip),
        "npm": ("npm ci", _npm),
        "maven": ("mvn package", _mvn),
    }
    before = figures(orchard)
    rows: list[tuple[str, ...]] = [("with the registries cut off", "seconds", "installed")]
    for name, (label, build) in builds.items():
        if name not in lock["protocols"]:
            continue
        folder = work / name
        folder.mkdir()
        began = time.perf_counter()
        try:
            count = build(folder, orchard, exports)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or b"") + (error.stdout or b"")
            failures.append(f"{label}\n{said.decode(errors='replace')[-3000:]}")
            continue
        rows.append((label, f"{time.perf_counter() - began:.1f}", f"{count}"))
    after = figures(orchard)
    for label, key in (
        ("upstream requests", "upstream_requests"),
        ("upstream connects", "upstream_connects"),
    ):
        asked = after[key] - before[key]
        rows.append((label, f"{asked:g}", ""))
        if asked:
            failures.append(f"{asked:g} {label} were made with the registries cut off")
    print_rows(rows)
    return failures


# --- the three clients, each with an empty cache ----------------------------------------------------


def _pip(folder: Path, orchard: Running, exports: Path) -> int:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--no-input",
        "--no-compile",
    ]
    command += ["--disable-pip-version-check", "--target", str(folder / "site")]
    command += ["--index-url", orchard.index("pypi/simple/")]
    run_client([*command, "--require-hashes", "-r", str(exports / "requirements.txt")], through_orchard=True)
    return sum(1 for _ in (folder / "site").glob("*.dist-info"))


def _npm(folder: Path, orchard: Running, exports: Path) -> int:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(exports / name, folder / name)
    command = [
        "npm",
        "ci",
        "--prefix",
        str(folder),
        "--cache",
        str(folder / "cache"),
        "--no-audit",
        "--no-fund",
    ]
    command += ["--registry", orchard.index("npm/"), "--userconfig", os.devnull]
    run_client(command, through_orchard=True)
    return sum(
        1
        for path in (folder / "node_modules").rglob("package.json")
        if path.parent.parent.name == "node_modules" or path.parent.parent.name.startswith("@")
    )


def _mvn(folder: Path, orchard: Running, exports: Path) -> int:
    management = (exports / "dependency-management.xml").read_text().partition("?>")[2]
    plugins = "".join(
        _PLUGIN.format(group=PLUGIN_GROUP, artifact=name, version=version)
        for name, version in PLUGINS.items()
    )
    source = folder / "src/main/java/demo"
    source.mkdir(parents=True)
    (source / "App.java").write_text(_MAIN)
    pom = _POM.format(management=management, group=GUAVA[0], artifact=GUAVA[1], plugins=plugins)
    (folder / "pom.xml").write_text(pom)
    mirror = f"<mirror><id>orchard</id><mirrorOf>*</mirrorOf><url>{orchard.index('maven/')}</url></mirror>"
    (folder / "settings.xml").write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    command = ["mvn", "-B", "-q", "-C", "-s", "settings.xml", f"-Dmaven.repo.local={folder / 'repository'}"]
    done = subprocess.run(
        [*command, "package"], cwd=folder, env=dict(os.environ), capture_output=True, timeout=600
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return sum(1 for _ in (folder / "repository").rglob("*.jar"))


# --- the API ----------------------------------------------------------------------------------------


def _base(orchard: Running) -> str:
    return f"http://127.0.0.1:{orchard.port}"


def _ensured(orchard: Running, text: str) -> bytes:
    """The lock's bytes. Raises `RuntimeError` with what Orchard said instead."""
    base, deadline = _base(orchard), time.monotonic() + MOST_SECONDS
    status, body, _ = _call(f"{base}/api/v1/ensure", text.encode())
    shown = ""
    while status == 202 and time.monotonic() < deadline:
        about = msgspec.json.decode(body)
        figures_now = (
            f"  {about['phase']}: {about['files_ready']} of {about['files_known']} files, "
            f"{about['bytes_ready'] / 1e6:.1f} MB, {about['documents_known']} documents"
        )
        if figures_now != shown:
            print(figures_now, flush=True)
            shown = figures_now
        time.sleep(1)
        status, body, _ = _call(base + about["location"])
    if status != 200:
        raise RuntimeError(f"{status}: {body.decode(errors='replace')[:2000]}")
    return body


def _call(url: str, body: bytes | None = None) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/toml"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


if __name__ == "__main__":
    sys.exit(main())
