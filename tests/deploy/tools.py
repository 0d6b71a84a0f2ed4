"""The tools of deploy/requirements-check.txt, which `make test` and `make k8s-check` install."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.stores import ROOT

CHECK = ROOT / ".cache" / "deploy-check"
BIN = CHECK / "venv" / "bin"
SCHEMAS = CHECK / "schemas"

needs_tools = pytest.mark.skipif(
    not (CHECK / ".installed").exists(), reason="the tools are not installed: make k8s-check installs them"
)
needs_schemas = pytest.mark.skipif(
    shutil.which("go") is None and not SCHEMAS.exists(),
    reason="no Go here, which downloads the schemas of custom resources and of compose files",
)
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here: apt-get install prometheus"
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """One command from the repository's root, to its end."""
    return subprocess.run(
        [str(each) for each in command], cwd=ROOT, capture_output=True, text=True, timeout=110
    )


def k8s_check(*options: str | Path) -> subprocess.CompletedProcess[str]:
    """`make k8s-check` without make."""
    return run(BIN / "python", "-m", "scripts.k8s_check", *options)


needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no Prometheus here: apt-get install prometheus"
)
