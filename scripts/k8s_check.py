"""`make k8s-check`: renders every overlay, validates it against real schemas, checks our own policies.

    python -m scripts.k8s_check [--root deploy/k8s] [--paths] [--without-crds] [--write-rules]

Exit code 0: nothing to say against it. 1: faults, one line each. CRD schemas need Go at the first run;
--without-crds says aloud what was left out instead of failing. Runs in the environment of
deploy/requirements-check.txt.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from scripts.k8s_check_database import given_connections, wanted_connections
from scripts.k8s_check_pods import name_of
from scripts.k8s_check_policies import POLICIES
from scripts.k8s_check_reach import reachable, ways
from scripts.k8s_check_schemas import (
    KUBERNETES_VERSIONS,
    SchemasMissing,
    fetch_schemas,
    is_custom,
    schema_faults,
)
from scripts.k8s_check_settings import placeholders

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules"
CACHE = ROOT / ".cache" / "deploy-check" / "schemas"


def render(overlay: Path) -> list[dict[str, Any]]:
    """All resources of an overlay. Raises `RuntimeError` with what kubectl said."""
    kubectl = Path(sys.executable).parent / "kubectl"
    command = [str(kubectl), "kustomize", str(overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # noqa: S603 - our own tool
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def rules_resource() -> str:
    """The PrometheusRule that carries deploy/prometheus/rules."""
    groups = [
        group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]
    ]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "orchard"},
        "spec": {"groups": groups},
    }
    head = "# Made from deploy/prometheus/rules by: make k8s-check ARGS=--write-rules\n"
    body: str = yaml.safe_dump(resource, sort_keys=False, width=110, allow_unicode=True)
    return head + body


def check(root: Path, schemas: Path | None, *, paths: bool = False) -> list[str]:
    """All faults of all overlays below `root`, after saying what was validated; with `paths`, who can
    reach whom, too."""
    faults = []
    overlays = sorted(path.parent for path in (root / "overlays").glob("*/kustomization.yaml"))
    used: set[str] = set()
    for overlay in overlays:
        used |= {
            Path(each).name
            for each in yaml.safe_load((overlay / "kustomization.yaml").read_text()).get("components", [])
        }
        try:
            resources = render(overlay)
        except RuntimeError as error:
            faults.append(f"{overlay.name}: {error}")
            continue
        invalid = [
            f"{overlay.name}: {name_of(each)}: {fault}"
            for each in resources
            for fault in schema_faults(each, schemas)
        ]
        faults += invalid
        if not invalid:  # policies read fields, and trust them to be there
            for policy in POLICIES:
                faults += [f"{overlay.name}: {fault} [{policy.__name__}]" for fault in policy(resources)]
            for note in placeholders(resources):
                _say(f"{overlay.name}: NOTE {note}")
            known = [(way, reachable(way, resources)) for way in ways(resources)]
            passing = sum(passes for _, passes in known)
            _say(f"{overlay.name}: {len(known)} paths through the network policies, {passing} open")
            given = ", ".join(f"{name} gives {most}" for name, most in given_connections(resources))
            wanted = wanted_connections(resources)
            _say(
                f"{overlay.name}: {wanted} connections to PostgreSQL at most; {given or 'managed elsewhere'}"
            )
            for way, passes in known if paths else ():
                _say(f"{overlay.name}: {'open' if passes else 'shut'}  {way}")
        built_in = [each for each in resources if not is_custom(each)]
        custom = Counter(each["kind"] for each in resources if is_custom(each))
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(custom.items())) or "none"
        versions = " and ".join(KUBERNETES_VERSIONS)
        how = "left out" if schemas is None else "against their CRDs"
        _say(f"{overlay.name}: {len(built_in)} resources against Kubernetes {versions}")
        _say(f"{overlay.name}: custom resources {how}: {kinds}")
    unused = {path.name for path in (root / "components").iterdir() if path.is_dir()} - used
    faults += [f"component {name}: no overlay uses it, so nothing checks it" for name in sorted(unused)]
    _say(f"{len(POLICIES)} policies on {len(overlays)} overlays")
    return faults


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.k8s_check")
    parser.add_argument("--root", type=Path, default=ROOT / "deploy" / "k8s")
    parser.add_argument("--paths", action="store_true", help="print who can reach whom")
    parser.add_argument("--without-crds", action="store_true", help="leave custom resources out")
    parser.add_argument(
        "--write-rules", action="store_true", help="make components/prometheus/rules.yaml again"
    )
    options = parser.parse_args()
    rules = options.root / "components" / "prometheus" / "rules.yaml"
    if options.write_rules:
        rules.write_text(rules_resource())
    faults = []
    if rules.read_text() != rules_resource():
        faults.append(
            f"{rules.name} is not what deploy/prometheus/rules says: make k8s-check ARGS=--write-rules"
        )
    schemas = None
    try:
        schemas = None if options.without_crds else fetch_schemas(CACHE)
    except SchemasMissing as error:
        faults.append(f"schemas of custom resources: {error} (ARGS=--without-crds leaves them out)")
    faults += check(options.root, schemas, paths=options.paths)
    for fault in faults:
        _say(f"FAULT {fault}")
    _say(f"{len(faults)} faults" if faults else "all valid")
    return 1 if faults else 0


def _say(line: str) -> None:
    sys.stdout.write(f"k8s-check: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
