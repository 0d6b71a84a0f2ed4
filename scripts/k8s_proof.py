"""`make k8s-proof`: every overlay on a real API server, twice: as it is, and as an upgrade to new images.

    python -m scripts.k8s_proof [--root deploy/k8s] [--overlay NAME] [--built-only]

What `make k8s-check` reads in schemas, Kubernetes itself says here: server-side validation, Pod Security
"restricted" for each pod, what may be changed by a second apply. There are no nodes: no pod runs.

Exit code 0: all went through. 1: faults, one line each. 3: left out, for there is no API server here and none
can be built (--built-only: none is built). Runs in the environment of deploy/requirements-check.txt.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from scripts.k8s_check import CACHE as SCHEMAS
from scripts.k8s_check import ROOT, render
from scripts.k8s_check_pods import OURS, Resource, name_of, workloads
from scripts.k8s_check_schemas import SchemasMissing, fetch_schemas
from scripts.k8s_proof_server import READY_SECONDS, ControlPlane, Missing, build, program, start, version

NEXT_TAG = "99.0.0"
EXIT_LEFT_OUT = 3
WAIT = "--timeout=60s"
ENFORCED = "pod-security.kubernetes.io/enforce"
RETRY_SECONDS = 30.0


def prove(plane: ControlPlane, overlay: Path, schemas: Path) -> Iterator[str]:
    """What an API server with nothing in it has against an overlay, in words."""
    crds = [argument for path in sorted(schemas.glob("*_*.yaml")) for argument in ("-f", path)]
    yield from _refusals(plane.kubectl("apply", "--server-side", *crds), "the CRDs")
    yield from _established(plane)
    resources = render(overlay)
    faults = list(_apply(plane, overlay, f"{len(resources)} resources"))
    yield from faults
    if faults:
        return
    space = next(each["metadata"]["name"] for each in resources if each["kind"] == "Namespace")
    yield from _admitted(plane, space, resources)
    yield from _upgraded(plane, overlay, space, resources)


def _established(plane: ControlPlane) -> Iterator[str]:
    """Returns once the server knows all kinds. (`kubectl wait` fails for a CRD that has no status yet.)"""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        known = json.loads(plane.kubectl("get", "crd", "-o", "json").stdout or '{"items": [{}]}')["items"]
        states = [
            {each["type"]: each["status"] for each in crd.get("status", {}).get("conditions") or []}
            for crd in known
        ]
        if all(state.get("Established") == "True" for state in states):
            return
        time.sleep(0.2)
    yield f"the CRDs are not in force after {READY_SECONDS} s"


def _apply(plane: ControlPlane, overlay: Path, what: str) -> Iterator[str]:
    faults = list(_refusals(plane.kubectl("apply", "--validate=strict", "-k", overlay), "apply"))
    yield from faults
    if not faults:
        _say(f"{overlay.name}: {what} applied, nothing refused")


def _refusals(done: Any, what: str) -> Iterator[str]:
    """What kubectl said against something: errors, and the server's warnings."""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode or said:
        yield from (f"{what}: {line}" for line in said or [f"kubectl ended with {done.returncode}"])


def _admitted(plane: ControlPlane, space: str, resources: list[Resource]) -> Iterator[str]:
    """Each workload's pod, as its controller would make it, through the server's admission; and one that
    "restricted" must refuse."""
    label = f"{{.metadata.labels.{ENFORCED.replace('.', chr(92) + '.')}}}"
    enforced = plane.kubectl("get", "namespace", space, "-o", f"jsonpath={label}").stdout
    if enforced != "restricted":
        yield f"Namespace/{space} enforces {enforced or 'nothing'!r}, not 'restricted'"
    ready = plane.kubectl("wait", "-n", space, WAIT, "--for=create", "serviceaccount/default")
    yield from _refusals(ready, "service account")
    admitted = []
    for each, template in workloads(resources):
        said = list(_refusals(_try_pod(plane, space, _pod_of(each, template)), f"pod of {name_of(each)}"))
        yield from said
        if not said:
            admitted.append(each["metadata"]["name"])
    spoilt = _pod_of(*next(workloads(resources)))
    spoilt["spec"]["hostNetwork"] = True
    if not _try_pod(plane, space, spoilt).returncode:
        yield f"Namespace/{space} admits a pod on the host's network: Pod Security is not in force"
    _say(f"{space}: {len(admitted)} pods admitted as 'restricted': {', '.join(admitted)}")


def _pod_of(resource: Resource, template: dict[str, Any]) -> dict[str, Any]:
    """The pod that a workload's controller makes of its template; a StatefulSet's has its claims, too."""
    spec = dict(template["spec"])
    claims = [each["metadata"]["name"] for each in resource["spec"].get("volumeClaimTemplates", [])]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    spec["volumes"] = [*spec.get("volumes", []), *volumes]
    metadata = {**template["metadata"], "name": f"{resource['metadata']['name']}-proof"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _try_pod(plane: ControlPlane, space: str, pod: dict[str, Any]) -> Any:
    return plane.kubectl("create", "-n", space, "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def _upgraded(plane: ControlPlane, overlay: Path, space: str, resources: list[Resource]) -> Iterator[str]:
    """The migrations have ended, their Job's time is over, and other images are applied over it all."""
    yield from _end_migrations(plane, space, resources)
    images = {
        container["image"].partition("@")[0].rpartition(":")[0]
        for each, template in workloads(resources)
        if each["metadata"]["name"] in OURS
        for container in template["spec"]["containers"]
    }
    upgrade = overlay.parent / f"{overlay.name}-next"
    upgrade.mkdir()
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{overlay.name}"],
        "images": [{"name": name, "newTag": NEXT_TAG} for name in sorted(images)],
    }
    (upgrade / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    faults = list(_apply(plane, upgrade, f"the same with images :{NEXT_TAG}"))
    yield from faults
    if faults:
        return
    path = "jsonpath={.spec.template.spec.containers[0].image}"
    for each, _ in workloads(resources):
        if each["metadata"]["name"] in OURS:
            image = plane.kubectl("get", "-n", space, name_of(each), "-o", path).stdout
            if not image.endswith(f":{NEXT_TAG}"):
                yield f"{name_of(each)} still has the image {image!r} after the second apply"


def _end_migrations(plane: ControlPlane, space: str, resources: list[Resource]) -> Iterator[str]:
    """As Job controller and kubelet would: it has succeeded, longer ago than it is kept."""
    job = next(each for each in resources if each["kind"] == "Job")
    name, kept = name_of(job), job["spec"].get("ttlSecondsAfterFinished", 0)
    ended = datetime.now(UTC) - timedelta(seconds=kept + 60)
    at = ended.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": each, "status": "True", "lastProbeTime": at, "lastTransitionTime": at}
        for each in ("SuccessCriteriaMet", "Complete")
    ]
    status = {"startTime": at, "completionTime": at, "succeeded": 1, "conditions": conditions}
    patch = ("patch", "-n", space, name, "--subresource=status", "--type=merge", "-p")
    yield from _refusals(plane.kubectl(*patch, json.dumps({"status": status})), f"end of {name}")
    gone = plane.kubectl("wait", "-n", space, WAIT, "--for=delete", name)
    if gone.returncode:
        yield f"{name} still stands {kept} s after its end, in the way of the next: {gone.stderr.strip()}"


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.k8s_proof")
    parser.add_argument("--root", type=Path, default=ROOT / "deploy" / "k8s")
    parser.add_argument("--overlay", action="append", help="this one alone; may be repeated")
    parser.add_argument("--built-only", action="store_true", help="build nothing")
    options = parser.parse_args()
    try:
        schemas = fetch_schemas(SCHEMAS)
        kube = program()
        if not kube.exists():
            if options.built_only:
                raise Missing("no API server is built here: make k8s-proof builds it")
            began = time.monotonic()
            _say(f"building Kubernetes {version()} into .cache/kube (once)")
            kube = build()
            _say(f"built in {time.monotonic() - began:.0f} s")
    except (Missing, SchemasMissing) as error:
        _say(f"LEFT OUT: {error}")
        return EXIT_LEFT_OUT
    faults = []
    names = sorted(path.parent.name for path in (options.root / "overlays").glob("*/kustomization.yaml"))
    for name in options.overlay or names:
        with tempfile.TemporaryDirectory(prefix="orchard-k8s-") as folder:
            copy = Path(shutil.copytree(options.root, Path(folder) / "k8s"))
            try:
                with start(kube, Path(folder)) as plane:
                    faults += [f"{name}: {each}" for each in prove(plane, copy / "overlays" / name, schemas)]
            except RuntimeError as error:
                faults.append(f"{name}: {error}")
    for fault in faults:
        _say(f"FAULT {fault}")
    taken = f"Kubernetes {version()} took {', '.join(options.overlay or names)}, and their upgrades"
    _say(f"{len(faults)} faults" if faults else taken)
    return 1 if faults else 0


def _say(line: str) -> None:
    sys.stdout.write(f"k8s-proof: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
