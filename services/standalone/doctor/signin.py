"""Issuers of identity tokens, asked as a fetcher asks them: by which people sign in, and CI."""

from __future__ import annotations

from typing import Any

import msgspec

from services.standalone.doctor.asking import Unreached, get
from services.standalone.doctor.findings import Finding
from services.standalone.doctor.upstreams import skew_of
from shared.access.trust import own_rules
from shared.settings import Settings

DISCOVERY = "/.well-known/openid-configuration"  # OpenID Connect Discovery 1.0, section 4
LEEWAY_SECONDS = 30.0  # by which a token's times may be off


class _Told(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


def signin_findings(settings: Settings) -> list[Finding]:
    """One for each issuer that the settings name. None is asked under ORCHARD_OFFLINE."""
    issuers = {rule.issuer: "ORCHARD_TRUSTED_CI" for rule in own_rules(settings) if not rule.keys}
    if settings.oidc_issuer:
        issuers[settings.oidc_issuer] = "ORCHARD_OIDC_ISSUER"
    if settings.offline:
        return []
    return [issuer_finding(settings, url, variable) for url, variable in issuers.items()]


def issuer_finding(settings: Settings, issuer: str, variable: str) -> Finding:
    """Whether it says who it is, publishes keys, and whether its tokens are good by this clock."""
    name, people = f"sign-in {issuer}", variable == "ORCHARD_OIDC_ISSUER"
    try:
        answer = get(settings, issuer.rstrip("/") + DISCOVERY)
        if answer.status != 200:
            cure = f"check {variable}: below it lies {DISCOVERY}"
            return Finding(name, "failed", f"its configuration answers {answer.status}", cure)
        told = msgspec.json.decode(answer.body, type=_Told)
        if told.issuer != issuer:
            cure = f"set {variable} to that, letter by letter, if it is the one that you mean"
            return Finding(name, "failed", f"it says that it is {told.issuer[:200]}", cure)
        if people and not told.authorization_endpoint:
            return Finding(name, "failed", "it names no place to sign in at", "ask those who run it")
        keys = get(settings, told.jwks_uri)
        if keys.status != 200 or not msgspec.json.decode(keys.body, type=_Keys).keys:
            return Finding(name, "failed", "it publishes no keys (jwks_uri)", "ask those who run it")
    except Unreached as error:
        return Finding(name, "failed", error.detail, error.cure)
    except msgspec.MsgspecError:
        return Finding(
            name, "failed", "it is no OpenID provider", f"check {variable}, and what answers in between"
        )
    return clock_of(name, skew_of(keys.headers))


def clock_of(name: str, skew: float | None) -> Finding:
    """Whether tokens of an issuer by whose clock this one is so many seconds ahead are good here."""
    if skew is None or abs(skew) <= LEEWAY_SECONDS:
        return Finding(name, "ok", "says who it is, publishes keys, and agrees on the time")
    ahead = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} its own"
    return Finding(
        name, "failed", f"this clock is {ahead}: its tokens are refused", "set it by NTP, here or there"
    )
