"""What Orchard's manifests must keep beyond being valid; each rule with its reason.

A policy takes all resources of one overlay and yields one line per fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scripts.k8s_check_database import database_connections_suffice
from scripts.k8s_check_pods import OURS, Resource, containers, name_of, values_of, workloads
from scripts.k8s_check_reach import paths_are_as_wanted
from scripts.k8s_check_security import (
    network_is_closed,
    no_tokens,
    restricted,
    secrets_are_secret,
    ways_in_shut_what_is_for_operators,
)
from scripts.k8s_check_settings import proxies_are_trusted, services_agree, settings_are_taken
from scripts.k8s_check_stores import (
    claims_exist,
    databases_are_backed_up,
    images_are_logged_in_for,
    storage_classes_agree,
)
from shared.settings import Settings

CLOSING_SECONDS = 10  # after the drain: connections, threads, batches


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
        if each["kind"] in ("Job", "CronJob"):
            continue
        wanted = {"livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
        for probe, path in wanted.items():
            if probe not in container:
                yield f"{title}: {probe} is missing"
            elif each["metadata"]["name"] in OURS and container[probe].get("httpGet", {}).get("path") != path:
                yield f"{title}: {probe} must ask {path}"
        if each["metadata"]["name"] in OURS:
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            env = values_of(container)
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
        drain = float(values_of(container).get("ORCHARD_DRAIN_TIMEOUT", Settings().drain_timeout))
        drain += float(values_of(container).get("ORCHARD_DRAIN_NOTICE", Settings().drain_notice))
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


def fetchers_can_be_reached(resources: list[Resource]) -> Iterator[str]:
    """Gateways fetch live bytes from the fetcher that owns the download: by pod address, never by Service."""
    for title, each, _, container in containers(resources):
        if each["metadata"]["name"] == "orchard-fetcher":
            entries = {entry["name"]: entry for entry in container.get("env", [])}
            source = entries.get("ORCHARD_WORKER_ADVERTISE", {}).get("valueFrom", {}).get("fieldRef", {})
            if source.get("fieldPath") != "status.podIP":
                yield f"{title}: ORCHARD_WORKER_ADVERTISE must be the pod's address"


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
    paths_are_as_wanted,
    ways_in_shut_what_is_for_operators,
    settings_are_taken,
    services_agree,
    proxies_are_trusted,
    secrets_are_secret,
    fetchers_can_be_reached,
    database_connections_suffice,
    databases_are_backed_up,
    claims_exist,
    storage_classes_agree,
    images_are_logged_in_for,
)
