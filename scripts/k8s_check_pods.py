"""Reading rendered manifests: what makes pods, their containers, their plain environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Resource = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
OURS = ("orchard-gateway", "orchard-fetcher", "orchard-extractor", "orchard-migrations")
"""Of every overlay."""
BACKUP = "orchard-backup"


def name_of(resource: Resource) -> str:
    """Kind/name."""
    return f"{resource['kind']}/{resource['metadata']['name']}"


def workloads(resources: list[Resource]) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """(resource, pod template) of everything that makes pods."""
    for each in resources:
        if each["kind"] in WORKLOADS:
            spec = each["spec"]
            yield (
                each,
                spec["jobTemplate"]["spec"]["template"] if each["kind"] == "CronJob" else spec["template"],
            )


def containers(resources: list[Resource]) -> Iterator[tuple[str, Resource, dict[str, Any], dict[str, Any]]]:
    """(title, resource, pod spec, container)."""
    for each, template in workloads(resources):
        spec = template["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{name_of(each)} {container['name']}", each, spec, container


def values_of(container: dict[str, Any]) -> dict[str, str]:
    """The environment that is written out: name, value."""
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
