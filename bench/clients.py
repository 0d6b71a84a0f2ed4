"""A real client, warm: uv installs 61 packages through nginx and through Orchard."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.harness import peers
from bench.harness.orchard import orchard
from bench.harness.table import Figure, print_figures

REPEATS = 7


def run(work: Path, root: Path) -> list[Figure]:
    """Medians of interleaved installs with empty client caches."""
    with (
        peers.upstream(work / "upstream", root) as upstream,
        peers.nginx_cache(work / "nginx", int(upstream.base.rsplit(":", 1)[1])) as nginx,
        orchard(work / "orchard", upstream=f"{upstream.base}/simple/") as ours,
    ):
        indexes = {
            "direct": f"{upstream.base}/simple/",
            "nginx": f"{nginx.base}/simple/",
            "orchard": ours.url("/pypi/simple/"),
        }
        times: dict[str, list[float]] = {name: [] for name in indexes}
        for name, index in indexes.items():
            _install(work, index)  # fills the caches
            times[name].clear()
        for _ in range(REPEATS):
            for name, index in indexes.items():
                times[name].append(_install(work, index))
    middle = {name: statistics.median(each) for name, each in times.items()}
    ratio = middle["orchard"] / middle["nginx"]
    note = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in middle.items())
    figures = [
        Figure("uv install of 61 packages, warm", f"{ratio:.2f} × nginx", "≤ 1.2 × nginx", ratio <= 1.2, note)
    ]
    print_figures("Real client", figures)
    return figures


def _install(work: Path, index: str) -> float:
    """Seconds of one uv install into an empty folder."""
    target, cache = work / "target", work / "uv-cache"
    for folder in (target, cache):
        shutil.rmtree(folder, ignore_errors=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    command = [
        str(Path(sys.executable).parent / "uv"),
        "pip",
        "install",
        "--quiet",
        "--no-config",
        "--python",
        sys.executable,
    ]
    command += ["--target", str(target), "--cache-dir", str(cache), "--default-index", index, "app00"]
    started = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"uv failed through {index}:\n{done.stderr}")
    return time.perf_counter() - started
