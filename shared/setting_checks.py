"""What settings say together, and what a field's type does not say of its value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shared.setting_values import network

Variable = Callable[[str], str]
"""The environment variable of a field."""

_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+/?")
_COLLECTOR = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(?:/[A-Za-z0-9._/-]*)?")
_HEADER = re.compile(r"\s*[A-Za-z0-9_-]+\s*=[\x20-\x7e]+")
_SENTINEL = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_RULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?")


def faults_of(values: Mapping[str, Any], variable: Variable) -> list[str]:
    """One line for each thing that does not fit. `values`: by field, those that were set, and `upstreams`."""
    faults = []
    level = values.get("log_level", "info")
    if level not in ("debug", "info", "warning", "error"):
        faults.append(f"ORCHARD_LOG_LEVEL: expected debug, info, warning or error (got {level!r})")
    if values.get("audit_unanswered", "fail") not in ("fail", "pass"):
        faults.append("ORCHARD_AUDIT_UNANSWERED: expected fail or pass")
    if values.get("log_format", "json") not in ("json", "console"):
        faults.append("ORCHARD_LOG_FORMAT: expected json or console")
    if not _COLLECTOR.fullmatch(values.get("otlp_endpoint") or "http://unset"):
        faults.append("ORCHARD_OTLP_ENDPOINT: expected http(s)://host[:port][/path]")
    if not all(_HEADER.fullmatch(each) for each in (values.get("otlp_headers") or "n=v").split(",")):
        faults.append("ORCHARD_OTLP_HEADERS: expected name=value and commas between several")
    faults.extend(_store(values, variable))
    faults.extend(_edge(values))
    faults.extend(_oidc(values))
    for each in values.get("trusted_ci", ()):
        try:
            trust_parts(each)
        except ValueError as error:
            faults.append(f"ORCHARD_TRUSTED_CI: {error}")
    for each in values.get("trusted_proxies", ()):
        try:
            network(each)
        except ValueError as error:
            faults.append(f"ORCHARD_TRUSTED_PROXIES: {error}")
    if values.get("redis_cluster") and (values.get("redis_sentinels") or values.get("redis_db")):
        faults.append("ORCHARD_REDIS_CLUSTER: goes with neither ORCHARD_REDIS_SENTINELS nor ORCHARD_REDIS_DB")
    for field in ("redis_sentinels", "queue_redis_sentinels", "redis_cluster"):
        if not all(_SENTINEL.fullmatch(each) for each in values.get(field, ())):
            faults.append(f"{variable(field)}: expected host[:port] and commas between several")
    addresses = {variable(f"{name}_upstream"): urls for name, urls in values["upstreams"].items()}
    addresses[variable("public_url")] = values.get("public_url", ())
    faults += [
        f"{name}: each address must start with http:// or https://"
        for name, urls in addresses.items()
        if not all(url.startswith(("http://", "https://")) for url in urls)
    ]
    return faults


def _edge(values: Mapping[str, Any]) -> list[str]:
    addresses = values.get("edge_purge", ())
    if not addresses:
        return []
    faults = []
    if not values.get("edge"):
        faults.append("ORCHARD_EDGE_PURGE: needs ORCHARD_EDGE=true")
    if not all(_ENDPOINT.fullmatch(each) for each in addresses):
        faults.append("ORCHARD_EDGE_PURGE: expected http(s)://host[:port] and commas between several")
    if len(values.get("edge_token", "")) < 16:
        faults.append("ORCHARD_EDGE_TOKEN: needed with ORCHARD_EDGE_PURGE, 16 characters or more")
    return faults


def _oidc(values: Mapping[str, Any]) -> list[str]:
    issuer = values.get("oidc_issuer", "")
    roles = (*values.get("oidc_admin", ()), *values.get("oidc_read", ()))
    faults = [
        f"ORCHARD_OIDC_ADMIN, ORCHARD_OIDC_READ: expected CLAIM=PATTERN, such as groups=team-* (got {each!r})"
        for each in roles
        if not all(each.partition("="))
    ]
    if not issuer:
        return faults
    if not is_issuer(issuer):
        faults.append(
            "ORCHARD_OIDC_ISSUER: expected https://…, as the provider writes it; http on loopback alone"
        )
    for field in ("oidc_client_id", "public_url"):
        if not values.get(field):
            faults.append(f"ORCHARD_{field.upper()}: needed with ORCHARD_OIDC_ISSUER")
    if not roles:
        faults.append("ORCHARD_OIDC_READ: who may sign in? sub=* is everybody that the provider knows")
    return faults


class TrustParts(NamedTuple):
    """One rule of ORCHARD_TRUSTED_CI."""

    name: str
    issuer: str
    audience: str
    claims: dict[str, tuple[str, ...]]
    protocols: tuple[str, ...]
    names: tuple[str, ...]


def trust_parts(text: str) -> TrustParts:
    """Words between spaces: name, issuer, audience, then CLAIM=PATTERN, protocol:NAME and package:PATTERN.
    Raises `ValueError`."""
    name, issuer, audience, *rest = (*text.split(), "", "", "")[: max(3, len(text.split()))]
    if not _RULE_NAME.fullmatch(name):
        raise ValueError("a rule begins with its name, of A-Z, a-z, 0-9 and ._@+-")
    if not is_issuer(issuer) or not audience or "=" in audience:
        raise ValueError(f"{name}: expected NAME ISSUER AUDIENCE CLAIM=PATTERN, the issuer as https://…")
    claims: dict[str, tuple[str, ...]] = {}
    bounds: dict[str, tuple[str, ...]] = {"protocol": (), "package": ()}
    for word in rest:
        kind, colon, value = word.partition(":")
        claim, equals, pattern = word.partition("=")
        if colon and value and kind in bounds:
            bounds[kind] += (value,)
        elif equals and claim and pattern.strip("*"):
            claims[claim] = (*claims.get(claim, ()), pattern)
        else:
            raise ValueError(f"{name}: {word[:60]!r} is no CLAIM=PATTERN, or lets everybody in")
    if not claims:
        raise ValueError(f"{name}: needs at least one CLAIM=PATTERN, or everybody's jobs there could read")
    return TrustParts(name, issuer, audience, claims, bounds["protocol"], bounds["package"])


def is_issuer(text: str) -> bool:
    """Whether an issuer of identity tokens may be called so (OpenID Connect Discovery 1.0, section 4.1)."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= 512
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "::1", "localhost"))
    return plain and secure and bool(host) and not ("@" in parts.netloc or parts.query or parts.fragment)


def _store(values: Mapping[str, Any], variable: Variable) -> list[str]:
    faults = []
    endpoint = values.get("s3_endpoint", "")
    for field in ("s3_endpoint", "s3_public_endpoint"):
        if values.get(field) and not _ENDPOINT.fullmatch(values[field]):
            faults.append(f"{variable(field)}: expected http(s)://host[:port] and nothing else")
    if endpoint:
        for field in ("s3_access_key", "s3_secret_key"):
            if not values.get(field):
                faults.append(f"{variable(field)}: needed with ORCHARD_S3_ENDPOINT")
    if not _BUCKET.fullmatch(values.get("s3_bucket", "orchard")):
        faults.append("ORCHARD_S3_BUCKET: expected 3 to 63 of a-z, 0-9, '.' and '-'")
    if not _PREFIX.fullmatch(values.get("s3_prefix", "").strip("/")):
        faults.append("ORCHARD_S3_PREFIX: expected names of A-Z, a-z, 0-9, '.', '_' and '-', joined by '/'")
    if values.get("sweep", "report") not in ("report", "delete", "off"):
        faults.append("ORCHARD_SWEEP: expected report, delete or off")
    delivery = values.get("artifact_delivery", "stream")
    if delivery not in ("stream", "redirect"):
        faults.append("ORCHARD_ARTIFACT_DELIVERY: expected stream or redirect")
    elif delivery == "redirect" and not endpoint:
        faults.append("ORCHARD_ARTIFACT_DELIVERY: redirect needs ORCHARD_S3_ENDPOINT")
    return faults
