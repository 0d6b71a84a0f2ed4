"""A real API server takes every overlay and its upgrade, and `make k8s-proof` says in words what it does not.

Runs where `make k8s-proof` has built the API server: that takes longer than all tests of a folder.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.k8s_proof_server import program, version
from tests.deploy.tools import BIN, SCHEMAS, needs_tools
from tests.support.stores import ROOT

MANIFESTS = ROOT / "deploy" / "k8s"

pytestmark = [
    needs_tools,
    pytest.mark.skipif(
        not program().exists() or not SCHEMAS.exists(),
        reason="no API server is built here: make k8s-proof builds it",
    ),
]


def _prove(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [BIN / "python", "-m", "scripts.k8s_proof", "--built-only", *options]
    return subprocess.run(
        [str(each) for each in command], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


def test_overlays__as_they_are__are_taken_with_their_upgrades() -> None:
    done = _prove()
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    overlays = "dev, in-cluster, prod, s3-ingress, s3-redis-cluster"
    assert last == f"k8s-proof: Kubernetes {version()} took {overlays}, and their upgrades"


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        ("base/gateway.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "would violate PodSecurity"),
        (
            "base/gateway.yaml",
            "serviceAccountName: orchard-gateway",
            "serviceAccountName: nobody",
            "pod of Deployment/orchard-gateway",
        ),
        ("base/extractor.yaml", "readinessProbe:", "readynessProbe:", 'unknown field "spec.template'),
        ("base/migrations.yaml", "ttlSecondsAfterFinished: 300", "suspend: false", "in the way of the next"),
        ("overlays/dev/namespace.yaml", "enforce: restricted", "enforce: baseline", "enforces 'baseline'"),
        ("overlays/dev/kustomization.yaml", "- namespace.yaml", "- stores.yaml", "FAULT dev"),
    ],
)
def test_spoilt_manifests__are_refused_in_words(
    tmp_path: Path, file: str, right: str, wrong: str, said: str
) -> None:
    path = Path(shutil.copytree(MANIFESTS, tmp_path / "k8s")) / file
    text = path.read_text()
    assert right in text, f"{file} does not say {right!r} any more"
    path.write_text(text.replace(right, wrong, 1))
    done = _prove("--root", tmp_path / "k8s", "--overlay", "dev")
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
    assert "Traceback" not in done.stderr


def test_without_an_api_server__it_says_that_it_was_left_out(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from scripts import k8s_proof, k8s_proof_server as server;"
        "server.CACHE = Path(sys.argv.pop(1)); sys.exit(k8s_proof.main())"
    )
    done = subprocess.run(
        [BIN / "python", "-c", code, str(tmp_path), "--built-only"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert done.stdout.startswith("k8s-proof: LEFT OUT: no API server is built here")
