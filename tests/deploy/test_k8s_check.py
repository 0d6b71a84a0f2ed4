"""The Kubernetes manifests are valid, and `make k8s-check` would say so if they were not."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.k8s_check_policies import POLICIES
from scripts.k8s_check_settings import placeholders, proxies_are_trusted, settings_are_taken
from services.gateway.app import Application
from shared.protocols import PROTOCOLS
from shared.settings import Settings
from tests.deploy.tools import BIN, k8s_check, needs_schemas, needs_tools, run
from tests.support.stores import ROOT

MANIFESTS = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())

pytestmark = needs_tools


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(MANIFESTS, tmp_path / "k8s"))


def _spoil(path: Path, right: str, wrong: str) -> None:
    text = path.read_text()
    assert right in text, f"{path.name} does not say {right!r} any more"
    path.write_text(text.replace(right, wrong, 1))


def test_manifests__as_they_are__are_valid() -> None:
    done = k8s_check("--without-crds")
    assert done.returncode == 0, done.stdout + done.stderr
    for overlay in OVERLAYS:
        assert re.search(rf"{overlay}: \d\d resources against Kubernetes", done.stdout)


@needs_schemas
def test_custom_resources__as_they_are__fit_their_crds() -> None:
    done = k8s_check()
    assert done.returncode == 0, done.stdout + done.stderr
    said = next(line for line in done.stdout.splitlines() if "prod: custom resources against" in line)
    for kind in ("Cluster", "ExternalSecret", "HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"):
        assert kind in said


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("base/fetcher.yaml", "readinessProbe:", "readynessProbe:"),
        ("base/gateway.yaml", "failureThreshold: 3", "failureTreshold: 3"),
        ("base/network-policies.yaml", "podSelector: {}", "podSelectors: {}"),
        ("base/migrations.yaml", "backoffLimit: 30", "backoffLimit: thirty"),
    ],
)
def test_misspelt_field__in_a_kubernetes_resource__fails(
    manifests: Path, file: str, right: str, wrong: str
) -> None:
    _spoil(manifests / file, right, wrong)
    done = k8s_check("--root", manifests, "--without-crds")
    assert done.returncode == 1, done.stdout
    assert re.search(r"FAULT .*Kubernetes 1\.\d+", done.stdout), done.stdout


@needs_schemas
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("components/keda/scaled-objects.yaml", "pollingInterval", "pollInterval"),
        ("components/cnpg/cluster.yaml", "walStorage", "walStore"),
        ("components/gateway-api/http-route.yaml", "hostnames:", "hostname:"),
        ("components/prometheus/monitors.yaml", "scrapeTimeout", "timeoutOfScrape"),
        ("components/external-secret/external-secrets.yaml", "remoteRef", "remoteReference"),
    ],
)
def test_misspelt_field__in_a_custom_resource__fails(
    manifests: Path, file: str, right: str, wrong: str
) -> None:
    _spoil(manifests / file, right, wrong)
    done = k8s_check("--root", manifests)
    assert done.returncode == 1, done.stdout
    assert "FAULT prod: " in done.stdout


@pytest.mark.parametrize(
    ("overlay", "right", "wrong", "said"),
    [
        (
            "in-cluster",
            "orchard-(redis-queue|minio)",
            "orchard-redis-queue",
            "orchard-minio data names no storage",
        ),
        ("in-cluster", "(Deployment|StatefulSet|Job)", "(Deployment|Job)", "has no imagePullSecrets"),
        ("in-cluster", "  - ../../components/cnpg-backup\n", "", "no ScheduledBackup"),
        (
            "s3-ingress",
            "backup\n  - ../../components/s3\n",
            "s3\n  - ../../components/backup\n",
            "there is no PersistentVolumeClaim/orchard-objects",
        ),
    ],
)
def test_what_is_kept__of_an_overlay_that_is_half_changed__fails(
    manifests: Path, overlay: str, right: str, wrong: str, said: str
) -> None:
    _spoil(manifests / "overlays" / overlay / "kustomization.yaml", right, wrong)
    done = k8s_check("--root", manifests, "--without-crds")
    assert done.returncode == 1, done.stdout
    assert re.search(rf"FAULT {overlay}: .*{re.escape(said)}", done.stdout), done.stdout


def test_cluster_of_redis__whose_nodes_are_at_a_port_that_nothing_lets_through__fails(
    manifests: Path,
) -> None:
    component = manifests / "components" / "redis-cluster" / "kustomization.yaml"
    _spoil(component, "cache-1.example.com:6379", "cache-1.example.com:7001")
    done = k8s_check("--root", manifests, "--without-crds")
    assert done.returncode == 1, done.stdout
    assert re.search(r"FAULT s3-redis-cluster: .*7001", done.stdout), done.stdout


@pytest.fixture(scope="module")
def prod() -> list[dict[str, Any]]:
    done = run(BIN / "kubectl", "kustomize", MANIFESTS / "overlays" / "prod")
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _find(resources: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(each for each in resources if (each["kind"], each["metadata"]["name"]) == (kind, name))


Change = Callable[[list[dict[str, Any]]], object]


def _pod(resources: list[dict[str, Any]], name: str = "orchard-fetcher") -> dict[str, Any]:
    spec: dict[str, Any] = _find(resources, "Deployment", name)["spec"]["template"]["spec"]
    return spec


def _container(resources: list[dict[str, Any]], name: str = "orchard-fetcher") -> dict[str, Any]:
    container: dict[str, Any] = _pod(resources, name)["containers"][0]
    return container


def _settings(resources: list[dict[str, Any]]) -> dict[str, str]:
    data: dict[str, str] = next(each for each in resources if each["kind"] == "ConfigMap")["data"]
    return data


def _to_inside(name: str) -> dict[str, Any]:
    """components/inside, for other pods than fetchers."""
    policy: dict[str, Any] = yaml.safe_load(
        (MANIFESTS / "components" / "inside" / "network-policy.yaml").read_text()
    )
    policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = name
    return policy


_CHANGES: dict[str, list[Change]] = {
    "images_are_named_exactly": [
        lambda r: _container(r).update(image="orchard-fetcher:latest"),
        lambda r: _container(r).update(image="images.example.com:5000/orchard-fetcher"),
    ],
    "no_service_links": [lambda r: _pod(r).pop("enableServiceLinks")],
    "no_tokens": [
        lambda r: _pod(r).pop("automountServiceAccountToken"),
        lambda r: _pod(r).update(serviceAccountName="default"),
    ],
    "restricted": [
        lambda r: _container(r)["securityContext"].pop("capabilities"),
        lambda r: _container(r)["securityContext"].update(readOnlyRootFilesystem=False),
        lambda r: _pod(r).update(hostNetwork=True),
        lambda r: _pod(r)["securityContext"].pop("runAsUser"),
    ],
    "resources_are_bounded": [
        lambda r: _container(r)["resources"].pop("limits"),
        lambda r: _container(r)["resources"]["requests"].pop("cpu"),
    ],
    "probes_ask_real_endpoints": [
        lambda r: _container(r).pop("livenessProbe"),
        lambda r: _container(r)["livenessProbe"]["httpGet"].update(path="/health/ready"),
        lambda r: _container(r)["ports"][0].update(containerPort=9999),
    ],
    "stops_fit_their_grace": [
        lambda r: _pod(r).update(terminationGracePeriodSeconds=30),
        lambda r: _container(r).pop("lifecycle"),
    ],
    "selectors_find_their_pods": [
        lambda r: _find(r, "Service", "orchard")["spec"]["selector"].update(x="y"),
        lambda r: _find(r, "PodDisruptionBudget", "orchard-fetcher")["spec"]["selector"].update(
            matchLabels={"app": "fetcher"}
        ),
        lambda r: _find(r, "ScaledObject", "orchard-fetcher")["spec"]["scaleTargetRef"].update(name="x"),
    ],
    "one_owner_of_replicas": [lambda r: _find(r, "Deployment", "orchard-gateway")["spec"].update(replicas=3)],
    "network_is_closed": [
        lambda r: r.remove(_find(r, "NetworkPolicy", "orchard-default-deny")),
        lambda r: _find(r, "NetworkPolicy", "orchard-gateway")["spec"]["egress"].append(
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}
        ),
        lambda r: _find(r, "NetworkPolicy", "orchard-fetcher")["spec"]["egress"][0]["to"][0]["ipBlock"].pop(
            "except"
        ),
    ],
    "paths_are_as_wanted": [
        lambda r: _find(r, "NetworkPolicy", "orchard-to-stores")["spec"]["egress"][0]["to"][0]["podSelector"][
            "matchLabels"
        ].update({"app.kubernetes.io/part-of": "orchard"}),
        lambda r: r.remove(_find(r, "NetworkPolicy", "orchard-dns")),
        lambda r: r.remove(_find(r, "NetworkPolicy", "orchard-from-prometheus")),
        lambda r: _find(r, "NetworkPolicy", "orchard-stores")["spec"].update(ingress=[{}]),
        lambda r: _find(r, "NetworkPolicy", "orchard-stores")["spec"]["ingress"][0]["from"].append(
            {"namespaceSelector": {}}
        ),
        lambda r: _find(r, "NetworkPolicy", "orchard-fetcher")["spec"].update(ingress=[{}]),
        lambda r: _find(r, "NetworkPolicy", "orchard-fetcher")["spec"]["egress"][0]["to"][0]["ipBlock"][
            "except"
        ].remove("168.63.129.16/32"),
        lambda r: r.remove(_find(r, "NetworkPolicy", "orchard-to-collector")),
        lambda r: _find(r, "NetworkPolicy", "orchard-to-collector")["spec"].update(podSelector={}),
        lambda r: r.append(_to_inside("orchard-extractor")),
        lambda r: _find(r, "NetworkPolicy", "orchard-to-stores")["spec"]["podSelector"]["matchExpressions"][
            0
        ]["values"].remove("orchard-backup"),
    ],
    "ways_in_shut_what_is_for_operators": [
        lambda r: _find(r, "HTTPRoute", "orchard")["spec"]["rules"][0]["matches"].append(
            {"path": {"type": "PathPrefix", "value": "/health"}}
        ),
        lambda r: _find(r, "HTTPRoute", "orchard")["spec"]["rules"][0]["matches"].append(
            {"path": {"type": "Exact", "value": "/health/ready"}}
        ),
        lambda r: _find(r, "HTTPRoute", "orchard")["spec"]["rules"][0]["matches"].append(
            {"path": {"type": "PathPrefix", "value": "/"}}
        ),
        lambda r: _find(r, "HTTPRoute", "orchard")["spec"]["rules"][0].pop("matches"),
    ],
    "settings_are_taken": [
        lambda r: _container(r)["env"].append({"name": "ORCHARD_WORKER_PROT", "value": "1"}),
        lambda r: _container(r)["env"].append({"name": "ORCHARD_PYPY_UPSTREAM", "value": ""}),
        lambda r: _settings(r).update(ORCHARD_MINIMUM_AGE="soon"),
        lambda r: _settings(r).update(ORCHARD_SOMETHING_UPSTREAM=""),
        lambda r: _settings(r).update(ORCHARD_ANONYMOUS_READ="perhaps"),
        lambda r: r.remove(next(each for each in r if each["kind"] == "ConfigMap")),
        lambda r: _find(r, "ExternalSecret", "orchard-upstreams")["spec"]["data"][0].update(
            secretKey="ORCHARD_SECRET_KEYS"
        ),
    ],
    "services_agree": [
        lambda r: _container(r)["env"].append({"name": "ORCHARD_OFFLINE", "value": "true"}),
        lambda r: _container(r, "orchard-gateway")["env"].append(
            {"name": "ORCHARD_MINIMUM_AGE", "value": "7d"}
        ),
    ],
    "proxies_are_trusted": [
        lambda r: _settings(r).pop("ORCHARD_TRUSTED_PROXIES"),
        lambda r: _settings(r).update(ORCHARD_TRUSTED_PROXIES="127.0.0.0/8, ::1"),
    ],
    "secrets_are_secret": [
        lambda r: next(each for each in r if each["kind"] == "ConfigMap")["data"].update(
            ORCHARD_REDIS_PASSWORD="x"
        ),
        lambda r: _container(r, "orchard-gateway")["envFrom"].append(
            {"secretRef": {"name": "orchard-upstreams"}}
        ),
        lambda r: _container(r)["envFrom"].append({"secretRef": {"name": "orchard-access"}}),
        lambda r: _container(r)["envFrom"].append({"secretRef": {"name": "orchard-log", "optional": True}}),
        lambda r: next(each for each in r if each["kind"] == "ConfigMap")["data"].update(
            ORCHARD_ADMIN_TOKEN="x"
        ),
        lambda r: next(each for each in r if each["kind"] == "ConfigMap")["data"].update(
            ORCHARD_OTLP_HEADERS="x"
        ),
    ],
    "database_connections_suffice": [
        lambda r: _find(r, "Cluster", "orchard-postgres")["spec"]["postgresql"]["parameters"].update(
            max_connections="100"
        ),
        lambda r: _find(r, "ScaledObject", "orchard-fetcher")["spec"].update(maxReplicaCount=200),
    ],
    "databases_are_backed_up": [
        lambda r: _find(r, "Cluster", "orchard-postgres")["spec"].pop("backup"),
        lambda r: r.remove(_find(r, "ScheduledBackup", "orchard-postgres")),
        lambda r: _find(r, "ScheduledBackup", "orchard-postgres")["spec"]["cluster"].update(name="x"),
    ],
    "claims_exist": [lambda r: r.remove(_find(r, "PersistentVolumeClaim", "orchard-backup"))],
    "storage_classes_agree": [
        lambda r: _find(r, "PersistentVolumeClaim", "orchard-backup")["spec"].update(storageClassName="s"),
        lambda r: _find(r, "Cluster", "orchard-postgres")["spec"]["storage"].update(storageClass="s"),
    ],
    "images_are_logged_in_for": [lambda r: _pod(r).update(imagePullSecrets=[{"name": "images"}])],
    "fetchers_can_be_reached": [
        lambda r: _container(r).update(
            env=[each for each in _container(r)["env"] if "ADVERTISE" not in each["name"]]
        )
    ],
}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_policy__content_as_it_is_and_each_way_of_breaking_it(
    policy: Callable[[list[dict[str, Any]]], Any], prod: list[dict[str, Any]]
) -> None:
    assert list(policy(prod)) == []
    changes = _CHANGES[policy.__name__]
    assert changes, "a policy that nothing can break checks nothing"
    for change in changes:
        spoilt = copy.deepcopy(prod)
        change(spoilt)
        assert list(policy(spoilt)), f"change {changes.index(change)} goes unnoticed"


@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")
@pytest.mark.parametrize("overlay", ["prod", "s3-ingress"])
def test_ways_in__lead_to_all_that_a_gateway_serves_but_metrics_and_health(overlay: str) -> None:
    done = run(BIN / "kubectl", "kustomize", MANIFESTS / "overlays" / overlay)
    paths = set()
    for each in yaml.safe_load_all(done.stdout):
        if each["kind"] == "HTTPRoute":
            paths |= {match["path"]["value"] for match in each["spec"]["rules"][0]["matches"]}
        if each["kind"] == "Ingress":
            paths |= {path["path"] for path in each["spec"]["rules"][0]["http"]["paths"]}
    routed = {f"/{each.path.split('/')[1]}" for each in Application(Settings()).litestar.routes}
    asgi = {*(f"/{each.name}" for each in PROTOCOLS), "/v", "/cas"}
    assert paths == (routed | asgi) - {"/metrics", "/health"} | {"/health/live"}


def test_deployments__keep_their_selectors__which_kubernetes_never_lets_change() -> None:
    done = run(BIN / "kubectl", "kustomize", MANIFESTS / "overlays" / "prod")
    selectors = [each["spec"]["selector"] for each in yaml.safe_load_all(done.stdout)
                 if each["kind"] == "Deployment"]  # fmt: skip
    names = ("orchard-extractor", "orchard-fetcher", "orchard-gateway")
    assert selectors == [
        {"matchLabels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "orchard"}}
        for name in names
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings__of_every_overlay__are_those_that_each_process_starts_with(overlay: str) -> None:
    done = run(BIN / "kubectl", "kustomize", MANIFESTS / "overlays" / overlay)
    resources = [each for each in yaml.safe_load_all(done.stdout) if each]
    assert list(settings_are_taken(resources)) == []
    for name in ("orchard-gateway", "orchard-fetcher", "orchard-extractor"):
        spoilt = copy.deepcopy(resources)
        _container(spoilt, name)["env"].append({"name": "ORCHARD_LOG_LEVEL", "value": "loud"})
        (fault,) = settings_are_taken(spoilt)
        assert name in fault
        assert "ORCHARD_LOG_LEVEL" in fault
    for unsafe in (
        {"ORCHARD_ADMIN_TOKEN": "orchard-dev"},
        {"ORCHARD_ANONYMOUS_READ": "", "ORCHARD_ADMIN_TOKEN": ""},
    ):
        spoilt = copy.deepcopy(resources)
        _container(spoilt, "orchard-gateway")["env"] += [
            {"name": name, "value": value} for name, value in unsafe.items()
        ]
        (fault,) = settings_are_taken(spoilt)
        assert fault.startswith("Deployment/orchard-gateway gateway: ORCHARD_A")


def test_migrations__of_an_overlay_with_s3_without_its_keys__fail() -> None:
    done = run(BIN / "kubectl", "kustomize", MANIFESTS / "overlays" / "s3-ingress")
    resources = [each for each in yaml.safe_load_all(done.stdout) if each]
    container = _find(resources, "Job", "orchard-migrations")["spec"]["template"]["spec"]["containers"][0]
    container["envFrom"] = [each for each in container["envFrom"] if "secretRef" not in each]
    faults = list(settings_are_taken(resources))
    assert len(faults) == 2
    assert all(each.startswith("Job/orchard-migrations migrations: ORCHARD_S3_") for each in faults)


def test_placeholder__of_who_is_trusted__is_told_until_it_is_replaced(prod: list[dict[str, Any]]) -> None:
    (told,) = placeholders(prod)
    assert "ORCHARD_TRUSTED_PROXIES" in told
    own = copy.deepcopy(prod)
    _settings(own).update(ORCHARD_TRUSTED_PROXIES="10.4.0.0/16")
    assert list(placeholders(own)) == list(proxies_are_trusted(own)) == []


def test_policy_reasons__every_policy_says_why() -> None:
    assert all(policy.__doc__ for policy in POLICIES)
