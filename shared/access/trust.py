"""Who of other issuers is trusted: rules from the claims of an identity token to what its bearer may do.

An identity token is a JWT (RFC 7519) that an OpenID provider signs: a CI's for each of its jobs, a company's
for a person who signs in. Nothing here believes one: claims come from `services/fetcher/identity`, which has
checked them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Any

import msgspec

from shared.access.bounds import Bounds
from shared.setting_checks import trust_parts
from shared.settings import Settings

LONGEST_TOKEN = 16 * 1024  # bytes
LONGEST_WHO = 100  # characters of a bearer's name


class TrustRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose tokens may be exchanged, and for what: reading, of all or of some packages."""

    id: str  # never given again; "" while it has none
    name: str
    issuer: str  # as `iss` has it
    audience: str  # one of `aud`
    claims: dict[str, tuple[str, ...]]  # each of these claims matches one of its glob patterns
    protocols: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    keys: str = ""  # the issuer's keys (JWKS, RFC 7517 section 5); "": by discovery

    def failing(self, claims: Mapping[str, Any]) -> str:
        """The claim for which this rule is not about the bearer; "" if it is."""
        if self.audience not in texts_of(claims.get("aud")):
            return "aud"
        return next((name for name, globs in self.claims.items() if not matches(claims, name, globs)), "")

    def bounds(self, until: float) -> Bounds:
        """What a token by this rule is good for."""
        return Bounds(expires_at=until, protocols=self.protocols, names=self.names)


class IdentityAsked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway has a fetcher check: a token of this issuer, for one of these audiences."""

    issuer: str
    token: str
    audiences: tuple[str, ...]
    nonce: str = ""  # that the token must have; "": none
    keys: str = ""  # as `TrustRule.keys`

    def __repr__(self) -> str:
        return f"IdentityAsked({self.issuer!r})"


class CodeAsked(msgspec.Struct, frozen=True):
    """What a gateway has a fetcher redeem: the code of one sign-in (OpenID Connect Core 3.1.2.5)."""

    code: str
    verifier: str  # of PKCE
    back: str  # the address that the code came to
    client: str
    nonce: str

    def __repr__(self) -> str:
        return f"CodeAsked({self.client!r})"


def own_rules(settings: Settings) -> tuple[TrustRule, ...]:
    """Those of ORCHARD_TRUSTED_CI. Another text is another rule: tokens that it gave are over."""
    return tuple(
        TrustRule("set-" + hashlib.sha256(text.encode()).hexdigest()[:16], *trust_parts(text))
        for text in settings.trusted_ci
    )


def people_of(settings: Settings) -> str:
    """What the grants of people are given by: with other settings they are trusted no more."""
    parts = (settings.oidc_issuer, settings.oidc_client_id, *settings.oidc_admin, "", *settings.oidc_read)
    return "people-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def scope_of(claims: Mapping[str, Any], settings: Settings) -> str:
    """What a person may do by ORCHARD_OIDC_ADMIN and ORCHARD_OIDC_READ: "admin", "read" or "" (nothing)."""
    for scope, rules in (("admin", settings.oidc_admin), ("read", settings.oidc_read)):
        for name, _, glob in (each.partition("=") for each in rules):
            if matches(claims, name.strip(), (glob.strip(),)):
                return scope
    return ""


def texts_of(value: object) -> list[str]:
    """A claim's values as patterns see them: each element of a list; true as "true"; nothing of an object."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, int):
        return [str(value)]
    if isinstance(value, list):
        return [text for each in value if not isinstance(each, list) for text in texts_of(each)]
    return []


def matches(claims: Mapping[str, Any], name: str, globs: Sequence[str]) -> bool:
    """Whether a claim, or an element of it, is of one of these shapes. Case counts; `*` is any text. An
    e-mail address that its issuer has not verified (OpenID Connect Core 5.1) is nobody's."""
    if name == "email" and _is_nobodys(claims):
        return False
    pattern = _compiled(tuple(globs))
    return any(pattern.fullmatch(text) for text in texts_of(claims.get(name)))


def _is_nobodys(claims: Mapping[str, Any]) -> bool:
    return texts_of(claims.get("email_verified")) == ["false"]


def who(prefix: str, claims: Mapping[str, Any], names: Sequence[str] = ("sub",)) -> str:
    """How the bearer is called in the audit and the ledger: no token can be called so, for the slash."""
    told = (name for name in names if name != "email" or not _is_nobodys(claims))
    found = next((text for name in told for text in texts_of(claims.get(name)) if text.strip()), "?")
    shown = "".join(each if each.isprintable() and each.isascii() else "?" for each in found)
    return f"{prefix}/{shown}"[:LONGEST_WHO]


@lru_cache(maxsize=1024)
def _compiled(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)))
