"""What Orchard's manifests must keep beyond being valid; each rule with its reason.

A policy takes all resources of one overlay and yields one line per fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from shared.settings import Settings, variable

Resource = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "Job")
OURS = ("orchard-gateway", "orchard-fetcher", "orchard-extractor", "orchard-migrations")
KNOWN = {variable(field.name) for field in msgspec.structs.fields(Settings)}
GATEWAY_CONNECTIONS = 8  # services/gateway/composition.py opens no more
SPARE_CONNECTIONS = 20  # migrations, monitoring, replication, a person
CLOSING_SECONDS = 10  # after the drain: connections, threads, batches


def name_of(resource: Resource) -> str:
    """Kind/name."""
    return f"{resource['kind']}/{resource['metadata']['name']}"


def workloads(resources: list[Resource]) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """(resource, pod template) of everything that makes pods."""
    for each in resources:
        if each["kind"] in WORKLOADS:
            yield each, each["spec"]["template"]


def containers(resources: list[Resource]) -> Iterator[tuple[str, Resource, dict[str, Any], dict[str, Any]]]:
    """(title, resource, pod spec, container)."""
    for each, template in workloads(resources):
        spec = template["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{name_of(each)} {container['name']}", each, spec, container


def images_are_named_exactly(resources: list[Resource]) -> Iterator[str]:
    """`latest` or no tag: two nodes may run two programs, and a rollback has nothing to go back to."""
    for title, _, _, container in containers(resources):
        image = container["image"]
        tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"{title}: image {image!r} has neither a digest nor an exact tag"
        if tag == "latest":
            yield f"{title}: image {image!r} is latest"


def no_service_links(resources: list[Resource]) -> Iterator[str]:
    """A Service named orchard injects ORCHARD_PORT=tcp://…: a bad setting, no service would start."""
    for each, template in workloads(resources):
        if template["spec"].get("enableServiceLinks") is not False:
            yield f"{name_of(each)}: enableServiceLinks must be false"


def no_tokens(resources: list[Resource]) -> Iterator[str]:
    """No process asks the Kubernetes API anything: a token is only of use to an intruder."""
    for each, template in workloads(resources):
        if template["spec"].get("automountServiceAccountToken") is not False:
            yield f"{name_of(each)}: automountServiceAccountToken must be false"
    accounts = {r["metadata"]["name"] for r in resources if r["kind"] == "ServiceAccount"}
    for each, template in workloads(resources):
        account = template["spec"].get("serviceAccountName")
        if each["metadata"]["name"] in OURS and account not in accounts:
            yield f"{name_of(each)}: service account {account!r} is not defined"


def restricted(resources: list[Resource]) -> Iterator[str]:
    """Pod Security Standard "restricted" plus a read-only root: the namespaces enforce the first."""
    for title, _, spec, container in containers(resources):
        pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
        both = {**pod, **own}
        if both.get("runAsNonRoot") is not True or not both.get("runAsUser"):
            yield f"{title}: runAsNonRoot and a numeric runAsUser are needed"
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{title}: seccompProfile RuntimeDefault is needed"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{title}: allowPrivilegeEscalation must be false"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{title}: readOnlyRootFilesystem must be true"
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield f"{title}: all capabilities must be dropped, none added"
        if own.get("privileged") or any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{title}: nothing of the host may be shared"
        for volume in spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{title}: volume {volume['name']} is a hostPath"


def resources_are_bounded(resources: list[Resource]) -> Iterator[str]:
    """Without requests a pod is placed blindly; without a memory limit it takes its node down."""
    for title, _, _, container in containers(resources):
        given = container.get("resources", {})
        if not {"cpu", "memory"} <= given.get("requests", {}).keys():
            yield f"{title}: requests for cpu and memory are needed"
        if "memory" not in given.get("limits", {}):
            yield f"{title}: a memory limit is needed"


def probes_ask_real_endpoints(resources: list[Resource]) -> Iterator[str]:
    """Liveness must not depend on a store (all pods would restart together); readiness must."""
    for title, each, _, container in containers(resources):
        if each["kind"] == "Job":
            continue
        wanted = {"livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
        for probe, path in wanted.items():
            if probe not in container:
                yield f"{title}: {probe} is missing"
            elif each["metadata"]["name"] in OURS and container[probe].get("httpGet", {}).get("path") != path:
                yield f"{title}: {probe} must ask {path}"
        if each["metadata"]["name"] in OURS:
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            env = _values(container)
            listening = env.get("ORCHARD_PORT") or env.get("ORCHARD_WORKER_PORT")
            if listening != str(ports.get("http")):
                yield f"{title}: listens on {listening}, its port http is {ports.get('http')}"
            if "0.0.0.0" not in (env.get("ORCHARD_HOST"), env.get("ORCHARD_WORKER_HOST")):  # noqa: S104
                yield f"{title}: listens on its loopback address only"
            for probe in ("startupProbe", *wanted):
                if container.get(probe, {}).get("httpGet", {}).get("port") != "http":
                    yield f"{title}: {probe} must ask the port http"


def stops_fit_their_grace(resources: list[Resource]) -> Iterator[str]:
    """preStop + drain + closing must fit, or SIGKILL breaks off what was to be finished."""
    for title, each, spec, container in containers(resources):
        if each["kind"] != "Deployment":
            continue
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = float(_values(container).get("ORCHARD_DRAIN_TIMEOUT", Settings().drain_timeout))
        grace = spec.get("terminationGracePeriodSeconds", 30)
        if not pause:
            yield f"{title}: a preStop sleep is needed (SIGTERM refuses connections at once)"
        if grace < pause + drain + CLOSING_SECONDS:
            yield f"{title}: grace {grace} s < preStop {pause} + drain {drain:g} + {CLOSING_SECONDS}"


def selectors_find_their_pods(resources: list[Resource]) -> Iterator[str]:
    """A selector that matches nothing is accepted and does nothing."""
    labels = [template["metadata"]["labels"] for _, template in workloads(resources)]

    def found(selector: dict[str, str]) -> bool:
        return any(selector.items() <= each.items() for each in labels)

    for each, template in workloads(resources):
        selector = each["spec"].get("selector", {}).get("matchLabels")
        if selector is not None and not selector.items() <= template["metadata"]["labels"].items():
            yield f"{name_of(each)}: its selector does not match its own pods"
        for spread in template["spec"].get("topologySpreadConstraints", []):
            if not found(spread["labelSelector"]["matchLabels"]):
                yield f"{name_of(each)}: a topology spread constraint matches no pod"
    for each in resources:
        if each["kind"] == "Service" and not found(each["spec"]["selector"]):
            yield f"{name_of(each)}: its selector matches no pod"
        if each["kind"] == "PodDisruptionBudget" and not found(each["spec"]["selector"]["matchLabels"]):
            yield f"{name_of(each)}: its selector matches no pod"
    targets = {name_of(each) for each in resources}
    for each in resources:
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = each["spec"]["scaleTargetRef"]
            if f"{target.get('kind', 'Deployment')}/{target['name']}" not in targets:
                yield f"{name_of(each)}: its target does not exist"


def one_owner_of_replicas(resources: list[Resource]) -> Iterator[str]:
    """`replicas` beside an autoscaler: every apply would undo what the autoscaler did."""
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]
        for each in resources
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    for each in resources:
        if each["kind"] == "Deployment":
            if each["metadata"]["name"] in scaled and "replicas" in each["spec"]:
                yield f"{name_of(each)}: has replicas and an autoscaler"
            if each["metadata"]["name"] not in scaled and "replicas" not in each["spec"]:
                yield f"{name_of(each)}: has neither replicas nor an autoscaler"


def network_is_closed(resources: list[Resource]) -> Iterator[str]:
    """What is not named is denied; only fetchers reach the world; only gateways reach the live port."""
    policies = [each for each in resources if each["kind"] == "NetworkPolicy"]
    denies = [
        each
        for each in policies
        if each["spec"]["podSelector"] == {}
        and set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not each["spec"].get("ingress")
        and not each["spec"].get("egress")
    ]
    if not denies:
        yield "there is no NetworkPolicy that denies everything by default"
    for each in policies:
        chosen = each["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
        for rule in each["spec"].get("egress", []):
            blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
            wide = any(block["cidr"] in ("0.0.0.0/0", "::/0", "2000::/3") for block in blocks)
            if wide and chosen != "orchard-fetcher":
                yield f"{name_of(each)}: only fetchers may reach the world"
            for block in blocks:
                if block["cidr"] == "0.0.0.0/0" and "169.254.0.0/16" not in block.get("except", []):
                    yield f"{name_of(each)}: the node's metadata service must be excepted"


def settings_are_known(resources: list[Resource]) -> Iterator[str]:
    """A misspelt name stops the service; better here than there."""
    for title, _, _, container in containers(resources):
        for entry in container.get("env", []):
            if entry["name"].startswith("ORCHARD_") and entry["name"] not in KNOWN:
                yield f"{title}: {entry['name']} is no setting"
    for each in resources:
        keys: list[str] = []
        if each["kind"] in ("ConfigMap", "Secret") and each["metadata"]["name"].startswith("orchard"):
            keys = [*each.get("data", {}), *each.get("stringData", {})]
        if each["kind"] == "ExternalSecret":
            keys = [entry["secretKey"] for entry in each["spec"].get("data", [])]
        for key in keys:
            if key not in KNOWN:
                yield f"{name_of(each)}: {key} is no setting"


def secrets_are_secret(resources: list[Resource]) -> Iterator[str]:
    """A ConfigMap is shown to everyone who may list it; upstreams' passwords are for fetchers alone."""
    for each in resources:
        if each["kind"] == "ConfigMap":
            for key in each.get("data", {}):
                hidden = key.endswith(("_PASSWORD", "_SECRET_KEY", "_ACCESS_KEY", "_UPSTREAM"))
                if hidden or key in ("ORCHARD_DATABASE_URL", "ORCHARD_HTTP_PROXY"):
                    yield f"{name_of(each)}: {key} belongs into a Secret"
    for title, each, _, container in containers(resources):
        if each["metadata"]["name"] == "orchard-fetcher":
            continue
        for source in container.get("envFrom", []):
            if source.get("secretRef", {}).get("name", "").startswith("orchard-upstreams"):
                yield f"{title}: only fetchers may read orchard-upstreams"


def fetchers_can_be_reached(resources: list[Resource]) -> Iterator[str]:
    """Gateways fetch live bytes from the fetcher that owns the download: by pod address, never by Service."""
    for title, each, _, container in containers(resources):
        if each["metadata"]["name"] == "orchard-fetcher":
            entries = {entry["name"]: entry for entry in container.get("env", [])}
            source = entries.get("ORCHARD_WORKER_ADVERTISE", {}).get("valueFrom", {}).get("fieldRef", {})
            if source.get("fieldPath") != "status.podIP":
                yield f"{title}: ORCHARD_WORKER_ADVERTISE must be the pod's address"


def database_connections_suffice(resources: list[Resource]) -> Iterator[str]:
    """At full scale, during a rollout, PostgreSQL must not refuse: all pools together fit max_connections."""
    clusters = [each for each in resources if each["kind"] == "Cluster"]
    if not clusters:
        return
    shared = next(each["data"] for each in resources if each["kind"] == "ConfigMap")
    most = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"].get("maxReplicas")
        or each["spec"]["maxReplicaCount"]
        for each in resources
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    pool = sum(
        int(shared.get(variable(field), getattr(Settings(), field)))
        for field in ("database_pool_size", "database_max_overflow")
    )
    wanted = SPARE_CONNECTIONS
    for each in resources:
        if each["kind"] == "Deployment":
            name = each["metadata"]["name"]
            pods = most.get(name) or each["spec"]["replicas"]
            wanted += (pods + 1) * min(pool, GATEWAY_CONNECTIONS if name == "orchard-gateway" else pool)
    for cluster in clusters:
        given = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        if given < wanted:
            yield f"{name_of(cluster)}: max_connections is {given}, all replicas may open {wanted}"


def _values(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


POLICIES: tuple[Callable[[list[Resource]], Iterator[str]], ...] = (
    images_are_named_exactly,
    no_service_links,
    no_tokens,
    restricted,
    resources_are_bounded,
    probes_ask_real_endpoints,
    stops_fit_their_grace,
    selectors_find_their_pods,
    one_owner_of_replicas,
    network_is_closed,
    settings_are_known,
    secrets_are_secret,
    fetchers_can_be_reached,
    database_connections_suffice,
)
