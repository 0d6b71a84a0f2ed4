"""Policies that keep intruders small: rights, tokens, networks, secrets; each with its reason."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.k8s_check_pods import BACKUP, OURS, Resource, containers, name_of, workloads


def no_tokens(resources: list[Resource]) -> Iterator[str]:
    """No process asks the Kubernetes API anything: a token is only of use to an intruder."""
    for each, template in workloads(resources):
        if template["spec"].get("automountServiceAccountToken") is not False:
            yield f"{name_of(each)}: automountServiceAccountToken must be false"
    accounts = {r["metadata"]["name"] for r in resources if r["kind"] == "ServiceAccount"}
    for each, template in workloads(resources):
        account = template["spec"].get("serviceAccountName")
        if each["metadata"]["name"] in (*OURS, BACKUP) and account not in accounts:
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


FOR_OPERATORS = ("/metrics", "/health", "/health/ready", "/health/identity")
"""What a gateway answers to everyone who reaches it; `/health/live` tells nothing."""


def ways_in_shut_what_is_for_operators(resources: list[Resource]) -> Iterator[str]:
    """Prometheus and kubelets ask the pods; what every client may read tells strangers of stores, workers,
    and who asks for how much."""
    for each in resources:
        paths: list[tuple[str, str]] = []
        if each["kind"] == "Ingress":
            for rule in each["spec"]["rules"]:
                paths += [(path["path"], path["pathType"]) for path in rule["http"]["paths"]]
        if each["kind"] == "HTTPRoute":
            for rule in each["spec"]["rules"]:
                matches = [match.get("path", {}) for match in rule.get("matches", [{}])]
                paths += [(path.get("value", "/"), path.get("type", "PathPrefix")) for path in matches]
        for shut in FOR_OPERATORS:
            if any(
                path == shut if kind == "Exact" else f"{shut}/".startswith(path.rstrip("/") + "/")
                for path, kind in paths
            ):
                yield f"{name_of(each)}: leads to {shut}"


READERS = {"orchard-upstreams": "fetcher", "orchard-access": "gateway", "orchard-log": "extractor"}
"""Secrets that one service alone may read."""


def secrets_are_secret(resources: list[Resource]) -> Iterator[str]:
    """A ConfigMap is shown to everyone who may list it; upstreams' passwords are for fetchers alone, the
    operator's token for gateways, the log's key for extractors."""
    for each in resources:
        if each["kind"] == "ConfigMap":
            for key in each.get("data", {}):
                hidden = key.endswith(("_PASSWORD", "_KEY", "_UPSTREAM", "_TOKEN"))
                if hidden or key in ("ORCHARD_DATABASE_URL", "ORCHARD_HTTP_PROXY", "ORCHARD_OTLP_HEADERS"):
                    yield f"{name_of(each)}: {key} belongs into a Secret"
    for title, each, _, container in containers(resources):
        for source in container.get("envFrom", []):
            for secret, reader in READERS.items():
                named = source.get("secretRef", {}).get("name", "").startswith(secret)
                if named and each["metadata"]["name"] != f"orchard-{reader}":
                    yield f"{title}: only {reader}s may read {secret}"
