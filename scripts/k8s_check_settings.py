"""Each of Orchard's containers gets settings that its process takes: put together as a kubelet does."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from ipaddress import ip_network

from scripts.k8s_check_pods import BACKUP, OURS, Resource, containers, name_of
from shared.access.exposure import check_exposure
from shared.errors import ConfigurationError
from shared.protocols import PROTOCOLS
from shared.settings import CLIENT_SECONDS, load_settings, variable

SPOKEN = {protocol.name: CLIENT_SECONDS for protocol in PROTOCOLS}
STAND_IN = "stand-in-for-one-of-a-secret-store"
BY_HAND = {
    "orchard-stores": ("ORCHARD_S3_ACCESS_KEY", "ORCHARD_S3_SECRET_KEY"),
    "orchard-access": ("ORCHARD_ADMIN_TOKEN",),
}
"""Secrets that no manifest has to hold, and those of their keys that a process may not start without."""
AGREED = tuple(
    variable(field)
    for field in (
        *("offline", "minimum_age", "nothing_after", "osv_feeds", "osv_severity", "trust", "stored_stay"),
        *("database_url", "redis_host", "redis_sentinels", "redis_cluster", "queue_redis_host"),
        *("queue_redis_sentinels", "s3_endpoint", "s3_bucket", "s3_prefix", "oidc_issuer", "trusted_ci"),
    )
)
"""Settings that services read which must not see different ones."""
PLACEHOLDER = "192.0.2.0/24"
NEEDED = {key for keys in BY_HAND.values() for key in keys}


def settings_are_taken(resources: list[Resource]) -> Iterator[str]:
    """A misspelt name, or a value that is refused, stops the service; better here than there."""
    held = {("Secret", name): dict.fromkeys(keys, STAND_IN) for name, keys in BY_HAND.items()}
    held |= dict(_sources(resources))
    for title, each, _, container in containers(resources):
        name = each["metadata"]["name"]
        if name not in (*OURS, BACKUP):
            continue
        for kind, source in map(_named, container.get("envFrom", [])):
            if kind == "ConfigMap" and (kind, source) not in held:  # Secrets may be made by hand
                yield f"{title}: there is no ConfigMap/{source}, the pod waits for it"
        try:
            settings = load_settings(environment(container, held), protocols=SPOKEN)
            if name == "orchard-gateway":
                check_exposure(settings)
        except ConfigurationError as error:
            yield from (f"{title}: {line}" for line in error.message.splitlines())
        else:
            yield from (f"{title}: {each}: no protocol has this name" for each in settings.ignored)


def services_agree(resources: list[Resource]) -> Iterator[str]:
    """An extractor that was not told "offline" evicts what fetchers, who were, cannot fetch again."""
    held = dict(_sources(resources))
    ours = [
        (title, environment(container, held))
        for title, each, _, container in containers(resources)
        if each["metadata"]["name"] in (*OURS, BACKUP)
    ]
    for name in AGREED:
        told = {title: found.get(name, "") for title, found in ours}
        if len(set(told.values())) > 1:
            having = ", ".join(title for title, value in told.items() if value)
            yield f"{name} is not the same for all services (set for {having})"


def proxies_are_trusted(resources: list[Resource]) -> Iterator[str]:
    """Of a proxy that is not believed, all clients are one: ten wrong tokens of one shut all others out."""
    ways_in = [name_of(each) for each in resources if each["kind"] in ("Ingress", "HTTPRoute")]
    trusted = _trusted(resources)
    if ways_in and all(ip_network(each, strict=False).is_loopback for each in trusted):
        yield f"{ways_in[0]}: ORCHARD_TRUSTED_PROXIES does not name who asks the gateways for it"


def placeholders(resources: list[Resource]) -> Iterator[str]:
    """What an overlay still has of these manifests' own, and works less well with."""
    if PLACEHOLDER in _trusted(resources):
        yield f"ORCHARD_TRUSTED_PROXIES holds {PLACEHOLDER}: put the addresses of your proxy there"


def _trusted(resources: list[Resource]) -> tuple[str, ...]:
    held = dict(_sources(resources))
    given = (
        environment(container, held).get("ORCHARD_TRUSTED_PROXIES", "")
        for _, each, _, container in containers(resources)
        if each["metadata"]["name"] == "orchard-gateway"
    )
    return tuple(",".join(given).replace(",", " ").split())


def environment(container: Resource, held: dict[tuple[str, str], dict[str, str]]) -> dict[str, str]:
    """Names and values: those of `envFrom` in its order, then those of `env`. `held`: by (kind, name) of
    ConfigMaps and Secrets."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= held.get(_named(source), {})
    for entry in container.get("env", []):
        one = entry.get("valueFrom", {})
        if "fieldRef" in one:
            value = "10.0.0.1"  # a pod's address
        elif one:
            kind = "Secret" if "secretKeyRef" in one else "ConfigMap"
            chosen = one["secretKeyRef" if kind == "Secret" else "configMapKeyRef"]
            value = held.get((kind, chosen["name"]), {}).get(chosen["key"], "")
        else:
            value = entry.get("value", "")
        found[entry["name"]] = value
    return found


def _named(source: Resource) -> tuple[str, str]:
    """Kind and name of what an entry of `envFrom` refers to."""
    if "secretRef" in source:
        return "Secret", source["secretRef"]["name"]
    return "ConfigMap", source["configMapRef"]["name"]


def _sources(resources: list[Resource]) -> Iterator[tuple[tuple[str, str], dict[str, str]]]:
    """(kind, name) of everything that holds values, with these."""
    for each in resources:
        name = each["metadata"]["name"]
        if each["kind"] == "ConfigMap":
            yield ("ConfigMap", name), each.get("data", {})
        elif each["kind"] == "Secret":
            coded = {key: base64.b64decode(value).decode() for key, value in each.get("data", {}).items()}
            yield ("Secret", name), coded | each.get("stringData", {})
        elif each["kind"] == "ExternalSecret":
            keys = [entry["secretKey"] for entry in each["spec"].get("data", [])]
            yield (
                ("Secret", each["spec"]["target"]["name"]),
                {key: STAND_IN if key in NEEDED else "" for key in keys},
            )
