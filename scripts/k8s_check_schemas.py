"""Strict validation against real schemas: Kubernetes' own from a wheel, CRDs out of pinned Go modules.

Runs in the environment of deploy/requirements-check.txt.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import yaml

ROOT = Path(__file__).parents[1]
PINS = ROOT / "deploy" / "k8s" / "schemas.yaml"
KUBERNETES_VERSIONS = ("1.30.0", "1.37.0")  # the oldest that knows preStop.sleep, and the newest known here
BUILT_IN = frozenset({"", "apps", "autoscaling", "batch", "policy", "networking.k8s.io"})

# Each call would parse some megabytes again.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


class SchemasMissing(Exception):
    """CRD schemas are not here and cannot be had; the message says why."""


def fetch_schemas(cache: Path) -> Path:
    """The folder with all files that deploy/k8s/schemas.yaml names, downloaded once.

    Raises `SchemasMissing` without Go or network, and `RuntimeError` if a module's hash is another.
    """
    pins = yaml.safe_load(PINS.read_text())
    wanted = {(pin["module"], name): cache / Path(name).name for pin in pins for name in pin["files"]}
    stamp = cache / "pins.yaml"
    if stamp.exists() and stamp.read_text() == PINS.read_text() and all(p.exists() for p in wanted.values()):
        return cache
    go = shutil.which("go")
    if go is None:
        raise SchemasMissing("Go is not installed, which downloads them")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orchard-schemas-") as folder:
        env = os.environ | {"GOPATH": folder, "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local"}
        for pin in pins:
            name = f"{pin['module']}@{pin['version']}"
            command = [go, "mod", "download", "-json", name]
            done = subprocess.run(  # noqa: S603 - the names are our own
                command, cwd=folder, env=env, capture_output=True, text=True, timeout=300
            )
            answer = json.loads(done.stdout) if done.stdout.strip() else {}
            if done.returncode or "Dir" not in answer:
                raise SchemasMissing(f"{name}: {answer.get('Error') or done.stderr.strip()}")
            if answer["Sum"] != pin["sum"]:
                raise RuntimeError(f"{name}: its hash is {answer['Sum']}, pinned is {pin['sum']}")
            for file in pin["files"]:
                shutil.copyfile(Path(answer["Dir"]) / file, wanted[pin["module"], file])
    stamp.write_text(PINS.read_text())
    return cache


@functools.cache
def custom_schemas(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Strict JSON schemas of all CRDs in a folder, by (apiVersion, kind)."""
    schemas = {}
    for path in sorted(folder.glob("*_*.yaml")):
        crd = yaml.safe_load(path.read_text())["spec"]
        for version in crd["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[f"{crd['group']}/{version['name']}", crd["names"]["kind"]] = schema
    return schemas


def _strict(node: Any) -> Any:
    """A structural schema as JSON Schema that refuses unknown fields, as the API server would prune them."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _strict(value) for key, value in node.items() if key not in ("format", "default", "example")}
    if node.get("x-kubernetes-int-or-string") is True:
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    open_ended = "additionalProperties" in node or node.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(node.get("properties"), dict) and node.get("type") == "object" and not open_ended:
        made["additionalProperties"] = False
    if node.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def is_custom(resource: dict[str, Any]) -> bool:
    """Whether a resource is of a kind that Kubernetes itself does not have."""
    group = resource["apiVersion"].rpartition("/")[0]
    return group not in BUILT_IN


def schema_faults(resource: dict[str, Any], folder: Path | None) -> Iterator[str]:
    """What real schemas say against a resource. `folder`: of CRDs; None leaves custom kinds out."""
    if is_custom(resource):
        if folder is not None:
            yield from _custom_faults(resource, folder)
        return
    for version in KUBERNETES_VERSIONS:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {_where(error)}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"Kubernetes {version}: {error.message}"


def _custom_faults(resource: dict[str, Any], folder: Path) -> Iterator[str]:
    schema = custom_schemas(folder).get((resource["apiVersion"], resource["kind"]))
    if schema is None:
        yield f"no schema for {resource['apiVersion']} {resource['kind']} in deploy/k8s/schemas.yaml"
        return
    for error in jsonschema.Draft202012Validator(schema).iter_errors(resource):
        yield f"{_where(error)}: {error.message[:300]}"


def _where(error: Any) -> str:
    return ".".join(str(part) for part in error.absolute_path) or "(top)"
