"""Who can reach whom by the rendered NetworkPolicies, as a table: what must be open, and what must be shut.

A policy can be valid and still cut a service off from its store, or let an intruder out: so this evaluates
them as a network plugin does (Kubernetes API, NetworkPolicySpec). A connection passes when the policies of
both ends allow it; an end that no policy selects allows everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scripts.k8s_check_pods import BACKUP, OURS, Resource, name_of, workloads

GATEWAY, FETCHER, EXTRACTOR, MIGRATIONS = OURS
JOBS = (MIGRATIONS, BACKUP)
STORE = "orchard.example.com/store"
NAMESPACE = "kubernetes.io/metadata.name"
HOME = "orchard"  # stands for the overlay's own namespace
API_PORT, LIVE_PORT = 8080, 8081

Labels = dict[str, str]


@dataclass(frozen=True, eq=False)
class End:
    """One end of a connection: a pod by its labels and its namespace's, or an address outside."""

    name: str
    labels: Labels = field(default_factory=dict)
    namespace: Labels = field(default_factory=lambda: {NAMESPACE: HOME})
    address: str = ""  # not a pod's


@dataclass(frozen=True, eq=False)
class Way:
    """A connection that must pass, or must not."""

    source: End
    target: End
    port: int
    wanted: bool

    def __str__(self) -> str:
        return f"{self.source.name} -> {self.target.name}:{self.port}"


# 198.51.100.0/24 and 192.0.2.0/24 are documentation's own (RFC 5737): a public address, and the range that
# stands for stores outside of the cluster in these manifests.
WORLD = End("the world", address="198.51.100.7")
MANAGED = End("a managed store", address="192.0.2.10")
INSIDE = tuple(
    End(name, address=address)
    for name, address in (
        ("metadata service 169.254.169.254", "169.254.169.254"),
        ("metadata service 168.63.129.16", "168.63.129.16"),
        ("metadata service 100.100.100.200", "100.100.100.200"),
        ("metadata service fd00:ec2::254", "fd00:ec2::254"),
        ("an inner address", "10.1.2.3"),
    )
)
DNS = (
    End("kube-dns", {"k8s-app": "kube-dns"}, {NAMESPACE: "kube-system"}),
    End("node-local DNS", address="169.254.20.10"),
)
STRANGERS = (End("a pod beside"), End("a pod elsewhere", {}, {NAMESPACE: "elsewhere"}))
CLIENT = End("a client", {}, {NAMESPACE: "ingress"})
PROMETHEUS = End("Prometheus", {"app.kubernetes.io/name": "prometheus"}, {NAMESPACE: "monitoring"})
OPERATOR = End("CloudNativePG", {}, {NAMESPACE: "cnpg-system"})
COLLECTOR = End(
    "a collector", {"app.kubernetes.io/name": "opentelemetry-collector"}, {NAMESPACE: "observability"}
)
WITHIN = End("a host within", address="192.0.2.20")  # a webhook's receiver, an issuer, an inner upstream


def ways(resources: list[Resource]) -> Iterator[Way]:
    """Every connection that an overlay's services need or must not have."""
    pods = {end.name: end for end in _pods(resources)}
    stores = {end: _store_port(end.name) for end in pods.values() if STORE in end.labels}
    settings = next(
        (each.get("data", {}) for each in resources if each["kind"] == "ConfigMap" and "data" in each), {}
    )
    watched = any(each["kind"] in ("PodMonitor", "ServiceMonitor") for each in resources)
    traced = bool(settings.get("ORCHARD_OTLP_ENDPOINT"))
    within = any(name_of(each) == "NetworkPolicy/orchard-to-inside" for each in resources)
    for source in (pods[name] for name in (*OURS, BACKUP) if name in pods):
        yield from (Way(source, dns, 53, True) for dns in DNS)
        yield from (Way(source, store, port, True) for store, port in stores.items())
        yield from (
            Way(source, MANAGED, port, True) for port in _managed_ports(source.name, stores, settings)
        )
        yield Way(source, WORLD, 443, source.name == FETCHER)
        yield Way(source, COLLECTOR, 4318, traced and source.name not in JOBS)
        yield Way(source, WITHIN, 8443, within and source.name == FETCHER)
        yield from (Way(source, end, 80, False) for end in INSIDE)
        if source.name != FETCHER:
            yield Way(source, pods[FETCHER], LIVE_PORT, source.name == GATEWAY)
        if source.name != GATEWAY:
            yield Way(source, pods[GATEWAY], API_PORT, False)
    for end in (*STRANGERS, CLIENT):
        yield from (Way(end, store, port, False) for store, port in stores.items())
        yield from (Way(end, pods[name], LIVE_PORT, False) for name in (FETCHER, EXTRACTOR))
    yield Way(CLIENT, pods[GATEWAY], API_PORT, True)
    for name, port in ((GATEWAY, API_PORT), (FETCHER, LIVE_PORT), (EXTRACTOR, LIVE_PORT)):
        if watched:
            yield Way(PROMETHEUS, pods[name], port, True)
    for store, port in stores.items():
        if "cnpg.io/cluster" in store.labels:  # asks the Kubernetes API, whose address nobody knows here
            yield from (Way(store, store, each, True) for each in (port, 8000))
            yield Way(OPERATOR, store, 8000, True)
        else:
            yield Way(store, WORLD, 443, False)
        yield Way(store, pods[GATEWAY], API_PORT, False)


def reachable(way: Way, resources: list[Resource]) -> bool:
    """Whether the connection passes: the source may send and the target may receive."""
    policies = [each["spec"] for each in resources if each["kind"] == "NetworkPolicy"]
    return _allows(policies, "Egress", way.source, way.target, way.port) and _allows(
        policies, "Ingress", way.target, way.source, way.port
    )


def paths_are_as_wanted(resources: list[Resource]) -> Iterator[str]:
    """A store that nobody reaches, or an intruder who reaches the world: both pass every schema."""
    for way in ways(resources):
        if reachable(way, resources) != way.wanted:
            yield f"{way} is {'shut' if way.wanted else 'open'}"


def _allows(policies: list[dict[str, Any]], direction: str, me: End, other: End, port: int) -> bool:
    if me.address or me.namespace != {NAMESPACE: HOME}:
        return True  # not ours to say
    mine = [
        policy
        for policy in policies
        if direction in policy["policyTypes"] and _selects(policy["podSelector"], me.labels)
    ]
    rules = [rule for policy in mine for rule in policy.get(direction.lower()) or []]
    return not mine or any(_rule_allows(rule, direction, other, port) for rule in rules)


def _rule_allows(rule: dict[str, Any], direction: str, other: End, port: int) -> bool:
    ports = [each["port"] for each in rule.get("ports", [])]
    peers = rule.get("to" if direction == "Egress" else "from")
    return (not ports or port in ports) and (not peers or any(_is_peer(peer, other) for peer in peers))


def _is_peer(peer: dict[str, Any], other: End) -> bool:
    if "ipBlock" in peer:
        return bool(other.address) and _is_in(peer["ipBlock"], other.address)
    if other.address:
        return False
    if "namespaceSelector" in peer:
        at_home = _selects(peer["namespaceSelector"], other.namespace)
    else:
        at_home = other.namespace == {NAMESPACE: HOME}
    return at_home and _selects(peer.get("podSelector", {}), other.labels)


def _is_in(block: dict[str, Any], text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address in ipaddress.ip_network(block["cidr"]) and not any(
        address in ipaddress.ip_network(each) for each in block.get("except", [])
    )


def _selects(selector: dict[str, Any], labels: Labels) -> bool:
    """A LabelSelector; the empty one selects everything."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions", []):
        value, operator = labels.get(each["key"]), each["operator"]
        fits = {
            "In": value in each.get("values", []),
            "NotIn": value not in each.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fits[operator]:
            return False
    return True


def _pods(resources: list[Resource]) -> Iterator[End]:
    for each, template in workloads(resources):
        yield End(each["metadata"]["name"], template["metadata"].get("labels", {}))
    for each in resources:
        if each["kind"] == "Cluster":  # labels that CloudNativePG gives its instances
            name = each["metadata"]["name"]
            given = each["spec"].get("inheritedMetadata", {}).get("labels", {})
            yield End(name, {"cnpg.io/cluster": name, "cnpg.io/podRole": "instance", **given})


def _store_port(name: str) -> int:
    return next((port for part, port in (("postgres", 5432), ("minio", 9000)) if part in name), 6379)


def _managed_ports(name: str, stores: dict[End, int], settings: dict[str, str]) -> Iterator[int]:
    """Ports of the stores that this overlay expects outside of it."""
    for port in (5432, 6379):
        if port not in stores.values() and (name not in JOBS or port == 5432):
            yield port
    if name not in JOBS:
        if "ORCHARD_REDIS_SENTINELS" in settings:
            yield 26379
        nodes = filter(None, settings.get("ORCHARD_REDIS_CLUSTER", "").split(","))
        yield from {int(node.partition(":")[2] or 6379) for node in nodes} - {6379}
    if name != MIGRATIONS and settings.get("ORCHARD_S3_ENDPOINT") and 9000 not in stores.values():
        yield from (443, 9000)
