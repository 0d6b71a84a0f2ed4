"""Connections to PostgreSQL: what all replicas may open, beside what a server in the manifests gives."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from scripts.k8s_check_pods import Resource, name_of, values_of, workloads
from shared.settings import Settings, variable

GATEWAY_CONNECTIONS = 8  # services/gateway/compose.py opens no more
LISTENING = {"orchard-fetcher": 2}  # beside the pool, for sources and access; others have one, for access
SPARE_CONNECTIONS = 20  # PostgreSQL's own reserve, migrations, monitoring, a person
DEFAULT_CONNECTIONS = 100  # of a PostgreSQL that was not told
_GIVEN = re.compile(r"max_connections=(\d+)")


def database_connections_suffice(resources: list[Resource]) -> Iterator[str]:
    """At full scale, during a rollout, PostgreSQL must not refuse: all pools together fit max_connections."""
    wanted = wanted_connections(resources)
    for name, given in given_connections(resources):
        if given < wanted:
            yield f"{name}: max_connections is {given}, all replicas may open {wanted}"


def wanted_connections(resources: list[Resource]) -> int:
    """What all may open at their most replicas, while the last of each is being replaced, and the reserve."""
    most = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"].get("maxReplicas")
        or each["spec"]["maxReplicaCount"]
        for each in resources
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    shared: dict[str, str] = next(
        (each["data"] for each in resources if each["kind"] == "ConfigMap" and _is_ours(each)), {}
    )
    wanted = SPARE_CONNECTIONS
    for each, template in workloads(resources):
        name = each["metadata"]["name"]
        if each["kind"] == "Deployment" and _is_ours(each):
            replicas = int(most.get(name) or each["spec"]["replicas"])
            values = shared | values_of(template["spec"]["containers"][0])
            wanted += (replicas + _surge(each, replicas)) * (_pool(name, values) + LISTENING.get(name, 1))
    return wanted


def given_connections(resources: list[Resource]) -> Iterator[tuple[str, int]]:
    """Every PostgreSQL of an overlay and its max_connections; none where it is managed elsewhere."""
    for each in resources:
        if each["kind"] == "Cluster":
            given = each["spec"]["postgresql"]["parameters"].get("max_connections", DEFAULT_CONNECTIONS)
            yield name_of(each), int(given)
    for each, template in workloads(resources):
        for container in template["spec"]["containers"]:
            if container["image"].rpartition("/")[2].startswith("postgres:"):
                said = " ".join([*container.get("command", []), *container.get("args", [])])
                found = _GIVEN.search(said)
                yield name_of(each), int(found[1]) if found else DEFAULT_CONNECTIONS


def _is_ours(resource: Resource) -> bool:
    return bool(resource["metadata"]["name"].startswith("orchard"))


def _pool(name: str, values: dict[str, str]) -> int:
    def setting(field: str) -> int:
        return int(values.get(variable(field)) or getattr(Settings(), field))

    pool = setting("database_pool_size") + setting("database_max_overflow")
    if name == "orchard-gateway":
        return min(pool, GATEWAY_CONNECTIONS)
    if name == "orchard-extractor":
        return min(pool, extractor_connections(setting("extract_slots"), setting("resolve_slots")))
    return pool


def extractor_connections(extract_slots: int, resolve_slots: int) -> int:
    """As services/extractor/compose.py counts them."""
    return extract_slots + 2 * resolve_slots + 6


def _surge(deployment: Resource, replicas: int) -> int:
    """Pods beyond the replicas in a rollout (Kubernetes: 25 % unless it was told)."""
    strategy = deployment["spec"].get("strategy", {})
    if strategy.get("type") == "Recreate":
        return 0
    surge = strategy.get("rollingUpdate", {}).get("maxSurge", "25%")
    return math.ceil(replicas * int(surge[:-1]) / 100) if isinstance(surge, str) else int(surge)
