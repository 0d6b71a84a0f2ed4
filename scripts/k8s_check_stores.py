"""Policies about what is kept: claims, their classes, the database's backup, the login for images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.k8s_check_pods import Resource, name_of, workloads


def claims_exist(resources: list[Resource]) -> Iterator[str]:
    """A pod that names no claim of the overlay's waits for ever: a component came too late in the list."""
    there = {each["metadata"]["name"] for each in resources if each["kind"] == "PersistentVolumeClaim"}
    for each, template in workloads(resources):
        for volume in template["spec"].get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim is not None and claim not in there:
                yield f"{name_of(each)}: there is no PersistentVolumeClaim/{claim}"


def storage_classes_agree(resources: list[Resource]) -> Iterator[str]:
    """Where one claim names its class, the cluster's default is not what is wanted: a claim that was
    forgotten waits, or lies where nobody looks."""
    classes = dict(_classes(resources))
    if any(classes.values()):
        yield from (
            f"{title} names no storage class, others do" for title, named in classes.items() if not named
        )


def images_are_logged_in_for(resources: list[Resource]) -> Iterator[str]:
    """Where one pod has a login for its images, a pod without one is never started."""
    logins = {
        name_of(each): bool(template["spec"].get("imagePullSecrets"))
        for each, template in workloads(resources)
    }
    logins |= {name_of(each): bool(each["spec"].get("imagePullSecrets")) for each in _databases(resources)}
    if any(logins.values()):
        yield from (
            f"{name} has no imagePullSecrets, others have" for name, given in logins.items() if not given
        )


def databases_are_backed_up(resources: list[Resource]) -> Iterator[str]:
    """Without it tokens, blocks, pins and the log are lost with the volumes: instances are no backup."""
    scheduled = {each["spec"]["cluster"]["name"] for each in resources if each["kind"] == "ScheduledBackup"}
    names = set()
    for each in _databases(resources):
        names.add(each["metadata"]["name"])
        if "barmanObjectStore" not in each["spec"].get("backup", {}) and "plugins" not in each["spec"]:
            yield f"{name_of(each)}: its backups have no place to go to"
        if each["metadata"]["name"] not in scheduled:
            yield f"{name_of(each)}: no ScheduledBackup is of it"
    yield from (f"ScheduledBackup of {name}, which is not there" for name in sorted(scheduled - names))


def _databases(resources: list[Resource]) -> list[Resource]:
    return [each for each in resources if each["kind"] == "Cluster"]


def _classes(resources: list[Resource]) -> Iterator[tuple[str, Any]]:
    """Each claim by what makes it, with its class."""
    for each in resources:
        if each["kind"] == "PersistentVolumeClaim":
            yield name_of(each), each["spec"].get("storageClassName")
        if each["kind"] == "StatefulSet":
            for claim in each["spec"].get("volumeClaimTemplates", []):
                yield f"{name_of(each)} {claim['metadata']['name']}", claim["spec"].get("storageClassName")
    for each in _databases(resources):
        for part in ("storage", "walStorage"):
            yield f"{name_of(each)} {part}", each["spec"].get(part, {}).get("storageClass")
