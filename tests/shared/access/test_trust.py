"""Trust rules: which claims they describe, how a bearer is called, who may do what by settings."""

from __future__ import annotations

from typing import Any

import pytest

from shared.access.trust import TrustRule, matches, own_rules, people_of, scope_of, who
from shared.errors import ConfigurationError
from shared.setting_checks import is_issuer
from shared.settings import Settings, load_settings

RULE = (
    "corp https://ci.example.com orchard repository=corp/* ref=refs/heads/main ref=refs/tags/v* protocol:pypi"
)


@pytest.mark.parametrize(
    ("value", "glob", "fits"),
    [
        ("corp/app", "corp/*", True),
        ("corp/app", "corp/app", True),
        ("corp/app/x", "corp/*", True),
        ("evil/corp/app", "corp/*", False),
        ("corp/app\nx", "corp/app", False),
        ("Corp/app", "corp/*", False),
        ("corpX/app", "corp?/app", True),
        ("a.b", "a?b", True),
        ("axb", "a.b", False),
        (True, "true", True),
        (False, "true", False),
        (7, "7", True),
        (["x", "corp/app"], "corp/*", True),
        ([["corp/app"]], "corp/*", False),
        ({"corp/app": 1}, "corp/*", False),
        (None, "*", False),
        (7.5, "*", False),
    ],
)
def test_claim__is_of_a_shape_as_a_whole(value: Any, glob: str, fits: bool) -> None:
    assert matches({"claim": value}, "claim", (glob,)) is fits


def test_rule__each_claim_has_to_match_one_of_its_patterns_and_the_audience_its_own() -> None:
    rule = TrustRule("1", "r", "https://i.example.com", "here", {"a": ("x*", "y"), "b": ("z",)})
    good = {"aud": ["there", "here"], "a": "y", "b": "z"}
    assert rule.failing(good) == ""
    for change, failing in (
        ({"aud": "there"}, "aud"),
        ({"a": "z"}, "a"),
        ({"b": None}, "b"),
        ({"aud": None}, "aud"),
    ):
        assert rule.failing({**good, **change}) == failing


@pytest.mark.parametrize(
    ("claims", "scope"),
    [
        ({"groups": ["staff", "platform-eu"]}, "admin"),
        ({"groups": "staff"}, "read"),
        ({"groups": "platform"}, ""),
        ({"email": "a@corp.example.com"}, "read"),
        ({"email": "a@corp.example.com", "email_verified": True}, "read"),
        ({"email": "a@corp.example.com", "email_verified": False}, ""),
        ({"email": "a@corp.example.com", "email_verified": "false"}, ""),
        ({"email": "a@corp.example.com.evil.example"}, ""),
        ({}, ""),
    ],
)
def test_person__does_what_claims_say(claims: dict[str, Any], scope: str) -> None:
    read = ("groups=staff", "email=*@corp.example.com")
    assert scope_of(claims, Settings(oidc_admin=("groups=platform-*",), oidc_read=read)) == scope


def test_bearer__is_called_so_that_no_token_can_be() -> None:
    assert who("ci", {"sub": "repo:corp/app"}) == "ci/repo:corp/app"
    assert who("oidc", {"email": " ", "sub": "7"}, ("email", "sub")) == "oidc/7"
    assert who("oidc", {"sub": "a\nb\x1b[2Jé"}) == "oidc/a?b?[2J?"
    assert who("ci", {}) == "ci/?" and len(who("ci", {"sub": "x" * 500})) == 100


def test_bearer__is_not_called_by_an_address_that_its_issuer_has_not_verified() -> None:
    claims = {"email": "boss@corp.example.com", "email_verified": False, "sub": "17"}
    assert who("oidc", claims, ("email", "sub")) == "oidc/17"
    assert who("oidc", {**claims, "email_verified": True}, ("email", "sub")) == "oidc/boss@corp.example.com"


def test_people__of_other_settings__are_others() -> None:
    settings = Settings(oidc_issuer="https://i.example.com", oidc_client_id="c", oidc_read=("sub=*",))
    assert people_of(settings) == people_of(settings)
    for other in (
        Settings(),
        Settings(oidc_issuer="https://i.example.com", oidc_client_id="c", oidc_admin=("sub=*",)),
    ):
        assert people_of(settings) != people_of(other)


def test_setting__holds_rules_of_which_another_text_is_another() -> None:
    first, second = own_rules(
        load_settings({"ORCHARD_TRUSTED_CI": f"{RULE}, b https://i.example.com x sub=job"})
    )
    assert first.name == "corp" and first.issuer == "https://ci.example.com" and first.audience == "orchard"
    assert first.claims == {"repository": ("corp/*",), "ref": ("refs/heads/main", "refs/tags/v*")}
    assert (first.protocols, first.names, second.claims) == (("pypi",), (), {"sub": ("job",)})
    assert own_rules(load_settings({"ORCHARD_TRUSTED_CI": RULE + " package:corp-*"}))[0].id != first.id


@pytest.mark.parametrize(
    "text",
    [
        "corp",
        "corp https://ci.example.com",
        "corp https://ci.example.com orchard",
        "corp https://ci.example.com repository=corp/*",
        "corp http://ci.example.com orchard repository=corp/*",
        "corp https://ci.example.com orchard repository=*",
        "corp https://ci.example.com orchard repository=",
        "corp https://ci.example.com orchard protocol:pypi",
        "corp/x https://ci.example.com orchard repository=corp/*",
        "corp https://ci.example.com orchard repository=corp/* whatever",
    ],
)
def test_setting__that_is_no_rule_or_lets_everybody_in__stops_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ORCHARD_TRUSTED_CI"):
        load_settings({"ORCHARD_TRUSTED_CI": text})


OIDC = {
    "ORCHARD_OIDC_ISSUER": "https://login.example.com/realm",
    "ORCHARD_OIDC_CLIENT_ID": "orchard",
    "ORCHARD_OIDC_READ": "sub=*",
    "ORCHARD_PUBLIC_URL": "https://orchard.example.com",
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ORCHARD_OIDC_ISSUER": "http://login.example.com"}, "ORCHARD_OIDC_ISSUER"),
        ({"ORCHARD_OIDC_CLIENT_ID": ""}, "ORCHARD_OIDC_CLIENT_ID"),
        ({"ORCHARD_PUBLIC_URL": ""}, "ORCHARD_PUBLIC_URL"),
        ({"ORCHARD_OIDC_READ": ""}, "ORCHARD_OIDC_READ"),
        ({"ORCHARD_OIDC_READ": "everybody"}, "ORCHARD_OIDC_READ"),
        ({"ORCHARD_OIDC_ADMIN": "groups="}, "ORCHARD_OIDC_ADMIN"),
    ],
)
def test_settings_of_a_provider__that_let_nobody_in_or_are_half__stop_the_start(
    change: dict[str, str], named: str
) -> None:
    assert load_settings(OIDC).oidc_read == ("sub=*",)
    with pytest.raises(ConfigurationError, match=named):
        load_settings({**OIDC, **change})


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("https://ci.example.com", True),
        ("https://ci.example.com/realm/x", True),
        ("http://127.0.0.1:9", True),
        ("http://localhost:9", True),
        ("http://ci.example.com", False),
        ("http://localhost.evil.example", False),
        ("https://user@ci.example.com", False),
        ("https://ci.example.com?x", False),
        ("https://ci.example.com#x", False),
        ("https://", False),
        ("https://[", False),
        ("https://ci.example.com:x", False),
        ("https://ci.example.com/ x", False),
        ("", False),
    ],
)
def test_issuer__is_an_https_address_and_nothing_else(text: str, good: bool) -> None:
    assert is_issuer(text) is good
