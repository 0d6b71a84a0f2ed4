"""Keyless CI: a job's identity token is exchanged for one to read with, that counts everywhere and ends."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.cli.conftest import Command
from tests.support.builders import build_wheel
from tests.support.issuer import AUDIENCE, FOREIGN, RSA, Issuer, public
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

ADMIN = "operators-token-of-tests"
EXCHANGE = "/api/v1/tokens/exchange"
_numbers = itertools.count(1)

pytestmark = pytest.mark.timeout(300)  # a whole Orchard starts first


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_ANONYMOUS_READ": "false",
        "ORCHARD_ADMIN_TOKEN": ADMIN,
        "ORCHARD_WRONG_TOKENS": "0",
    }
    with Upstream() as upstream:
        for name in ("demo", "other"):
            upstream.add_project(name, {f"{name}-1.0-py3-none-any.whl": build_wheel(name, "1.0")})
        folder = tmp_path_factory.mktemp("orchard")
        with cluster(folder, upstream, gateways=2, extractors=0, **settings) as running:
            yield running


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


def trust(orchard: Cluster, issuer: Issuer, **more: Any) -> dict[str, Any]:
    """A new rule, known at every gateway."""
    value = {
        "name": f"rule{next(_numbers)}", "issuer": issuer.url, "audience": AUDIENCE,
        "claims": {"repository": ["corp/*"]}, **more,
    }  # fmt: skip
    made = ask(orchard, "/api/v1/admin/trust", ADMIN, "POST", json=value)
    assert made.status_code == 201, made.text
    foreign = issuer.token(FOREIGN)  # nobody who knows the rule says that no rule is about it
    for each in orchard.all_of("gateway"):
        wait_until(
            lambda base=each.base: "signature" in exchange(orchard, foreign, base).text, what="the rule"
        )
    return dict(made.json())


def ask(
    orchard: Cluster, path: str, token: str = "", method: str = "GET", base: str = "", **more: Any
) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    url = (base or orchard.gateway.base) + path
    return httpx.request(method, url, headers=headers, timeout=60, trust_env=False, **more)


def exchange(orchard: Cluster, token: str, base: str = "") -> httpx.Response:
    return ask(orchard, EXCHANGE, method="POST", base=base, json={"subject_token": token})


def test_job__exchanges_its_token_by_json_or_a_form_and_installs_at_every_gateway(
    orchard: Cluster, issuer: Issuer
) -> None:
    trust(orchard, issuer, protocols=["pypi"], names=["demo"])
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": issuer.token(),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "audience": AUDIENCE,
    }
    for made in (exchange(orchard, issuer.token()), ask(orchard, EXCHANGE, method="POST", data=form)):
        assert made.status_code == 200, made.text
        told = made.json()
        assert made.headers["cache-control"] == "no-store"
        assert (told["token_type"], told["scope"]) == ("Bearer", "read")
        assert 880 < told["expires_in"] <= 900
        assert told["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        for each in orchard.all_of("gateway"):  # at once
            token = told["access_token"]
            assert ask(orchard, "/pypi/simple/demo/", token, base=each.base).status_code == 200
            assert ask(orchard, "/pypi/simple/other/", token, base=each.base).status_code == 403
            assert ask(orchard, "/api/v1/admin/tokens", token, base=each.base).status_code == 403
    assert "token_exchanged" in orchard.logs() and told["access_token"] not in orchard.logs()
    assert form["subject_token"] not in orchard.logs()
    assert issuer.asked["/keys"] == 1, "keys are kept"


def test_short_token__as_cargo_sends_it_without_a_scheme__good_at_every_gateway(
    orchard: Cluster, issuer: Issuer
) -> None:
    trust(orchard, issuer)
    for each in orchard.all_of("gateway"):
        token = exchange(orchard, issuer.token()).json()["access_token"]
        for other in (each, *orchard.all_of("gateway")):
            url = f"{other.base}/cargo/config.json"
            assert httpx.get(url, headers={"authorization": token}, trust_env=False).status_code == 200


def test_rule__taken_back__ends_its_tokens_at_every_gateway(orchard: Cluster, issuer: Issuer) -> None:
    rule = trust(orchard, issuer)
    token = exchange(orchard, issuer.token()).json()["access_token"]
    bases = [each.base for each in orchard.all_of("gateway")]
    assert all(ask(orchard, "/pypi/simple/demo/", token, base=base).status_code == 200 for base in bases)
    gone = ask(orchard, f"/api/v1/admin/trust/{rule['id']}", ADMIN, "DELETE")
    assert gone.status_code == 200
    for base in bases:
        wait_until(
            lambda base=base: ask(orchard, "/pypi/simple/demo/", token, base=base).status_code == 401,
            what="its end",
        )
    assert exchange(orchard, issuer.token()).status_code == 403
    audit = ask(orchard, "/api/v1/admin/audit?limit=2", ADMIN).json()["items"]
    assert [each["action"] for each in audit] == ["trust.delete", "trust.create"]


def test_exchange__refused__says_by_which_rule_and_repeats_nothing(orchard: Cluster, issuer: Issuer) -> None:
    rule = trust(orchard, issuer, claims={"repository": ["corp/*"], "ref": ["refs/heads/main"]})
    main = {"ref": "refs/heads/main"}
    for token, why in (
        ("nothing", "no identity token"),
        (issuer.token(**main, iss="https://evil.example.com"), "no rule trusts the issuer"),
        (issuer.token(**main, aud="elsewhere"), "another audience"),
        (issuer.token(FOREIGN, **main), "signature"),
        (issuer.token(ref="refs/heads/hostile"), f"{rule['name']}: ref"),
        (issuer.token(**main, repository="evilcorp/app"), f"{rule['name']}: repository"),
        (issuer.token(**main, repository="Corp/app"), f"{rule['name']}: repository"),
        (issuer.token(), f"{rule['name']}: ref"),
        (issuer.token(**main, exp=1), "over"),
    ):
        refused = exchange(orchard, token)
        told = refused.json()
        assert (refused.status_code, told["code"], told["error"]) == (
            403,
            "identity_refused",
            "invalid_grant",
        )
        assert why in told["detail"] and told["error_description"] == told["detail"]
        assert not any(part in refused.text for part in token.split(".") if len(part) > 12)
    for body in ({}, {"subject_token": 1}, {"subject_token": "x", "grant_type": "password"}, []):
        wrong = ask(orchard, EXCHANGE, method="POST", json=body)
        assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_request"), wrong.text
    assert ask(orchard, EXCHANGE, method="POST", content=b"\xff{").status_code == 400
    assert ask(orchard, EXCHANGE, method="POST", content=b"x" * 100_000).status_code == 413
    assert exchange(orchard, issuer.token(**main)).status_code == 200


def test_issuer__away__its_known_keys_go_on_also_at_a_fetcher_that_starts_then(
    orchard: Cluster, issuer: Issuer
) -> None:
    trust(orchard, issuer)
    assert exchange(orchard, issuer.token()).status_code == 200
    for path in ("/keys", "/.well-known/openid-configuration"):
        issuer.answers[path] = (500, {}, b"")
    assert exchange(orchard, issuer.token()).status_code == 200
    orchard.fetcher.stop()
    away = exchange(orchard, issuer.token())
    assert (away.status_code, away.json()["code"]) == (503, "issuer_unavailable"), "nobody can check"
    orchard.start("fetcher")
    wait_until(lambda: exchange(orchard, issuer.token()).status_code == 200, what="the copy of its keys")


def test_rule__with_keys_of_its_own__asks_no_issuer(orchard: Cluster, issuer: Issuer) -> None:
    trust(orchard, issuer, keys=json.dumps(public(RSA)))
    assert exchange(orchard, issuer.token()).status_code == 200
    assert exchange(orchard, issuer.token(FOREIGN)).status_code == 403
    assert issuer.asked == {}


def test_rule__of_the_settings__counts_where_it_is_set(orchard: Cluster, issuer: Issuer) -> None:
    rule = f"by-setting {issuer.url} {AUDIENCE} repository=corp/* protocol:pypi"
    set_up = orchard.start("gateway", ORCHARD_TRUSTED_CI=rule)
    made = exchange(orchard, issuer.token(), set_up.base)
    assert made.status_code == 200 and made.json()["name"].startswith("by-setting/"), made.text
    token = made.json()["access_token"]
    assert ask(orchard, "/pypi/simple/demo/", token, base=set_up.base).status_code == 200
    assert ask(orchard, "/pypi/simple/demo/", token).status_code == 401, "nor is it trusted elsewhere"
    listed = ask(orchard, "/api/v1/admin/trust", ADMIN, base=set_up.base).json()["items"]
    assert (listed[0]["id"], listed[0]["created_by"]) == (0, "ORCHARD_TRUSTED_CI")
    set_up.stop()


def test_refused_tokens__of_one_address__wait_like_other_guesses(orchard: Cluster, issuer: Issuer) -> None:
    strict = orchard.start("gateway", ORCHARD_WRONG_TOKENS="2")
    assert [exchange(orchard, "x", strict.base).status_code for _ in range(3)] == [403, 403, 429]
    strict.stop()


def test_refused_jobs__whose_tokens_their_issuer_signed__do_not_shut_out_others_of_their_address(
    orchard: Cluster, issuer: Issuer
) -> None:
    trust(orchard, issuer)
    strict = orchard.start("gateway", ORCHARD_WRONG_TOKENS="2")
    fork = issuer.token(repository="stranger/fork")
    assert [exchange(orchard, fork, strict.base).status_code for _ in range(4)] == [403] * 4
    assert exchange(orchard, issuer.token(), strict.base).status_code == 200
    strict.stop()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"claims": {}}, "claims"),
        ({"claims": {"repository": ["*"]}}, "lets everybody in"),
        ({"claims": {"repository": ["corp/*", "?*"]}}, "lets everybody in"),
        ({"claims": {"repository": ["[!~]*"]}}, "lets everybody in"),
        ({"claims": {"iss": ["https://ci*"]}}, "every token"),
        ({"claims": {"repository": ["corp/*"], "iat": ["1*"]}}, "every token"),
        ({"claims": {"repository": []}}, "claims"),
        ({"issuer": "http://ci.example.com"}, "issuer"),
        ({"issuer": "https://user:secret@ci.example.com"}, "issuer"),
        ({"issuer": "https://ci.example.com/?x=1"}, "issuer"),
        ({"issuer": "file:///etc/passwd"}, "issuer"),
        ({"audience": ""}, "audience"),
        ({"protocols": ["gopher"]}, "protocol"),
        ({"names": ["a b"]}, "names"),
        ({"keys": "{}"}, "keys"),
        ({"name": "with space"}, "name"),
    ],
)
def test_rule__that_lets_everybody_in_or_is_none__refused_by_its_field(
    orchard: Cluster, more: dict[str, Any], why: str
) -> None:
    value = {
        "name": "x",
        "issuer": "https://ci.example.com",
        "audience": "a",
        "claims": {"sub": ["job"]},
        **more,
    }
    answer = ask(orchard, "/api/v1/admin/trust", ADMIN, "POST", json=value)
    assert answer.status_code == 400 and why in answer.json()["detail"], answer.text


def test_command__adds_a_rule_exchanges_in_a_job_and_removes_it(
    orchard: Cluster, issuer: Issuer, tmp_path: Path
) -> None:
    job = Command(tmp_path, ORCHARD_URL=orchard.url(""))
    operator = Command(tmp_path, ORCHARD_URL=orchard.url(""), ORCHARD_ADMIN_TOKEN=ADMIN)
    words = (
        "--issuer",
        issuer.url,
        "--audience",
        AUDIENCE,
        "--claim",
        "repository=corp/*",
        "--claim",
        "sub=*main",
    )
    added = operator("trust", "add", "by-command", *words, "--protocol", "pypi")
    assert added.returncode == 0, added.stderr
    listed = operator("trust", "list").stdout
    assert all(
        each in listed for each in ("by-command", issuer.url, "repository=corp/*", "sub=*main", "pypi")
    )

    runner = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/mint?api-version=2", "GITHUB_ACTIONS": "true"}
    issuer.answers["/mint"] = (200, {}, json.dumps({"value": issuer.token()}).encode())
    ways: list[tuple[tuple[str, ...], dict[str, str], str]] = [
        (("--file", "-"), {}, issuer.token()),
        ((), {"ORCHARD_ID_TOKEN": issuer.token()}, ""),
        ((), {"CIRCLE_OIDC_TOKEN_V2": issuer.token()}, ""),
        (("--audience", AUDIENCE), {**runner, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-runner"}, ""),
    ]
    for options, environment, given in ways:
        done = job("tokens", "exchange", *options, given=given, **environment)
        assert done.returncode == 0, done.stderr
        token = done.stdout.strip()
        assert ask(orchard, "/pypi/simple/demo/", token).status_code == 200
        assert ("::add-mask::" + token in done.stderr) == ("GITHUB_ACTIONS" in environment)
    assert "by-command/repo:corp/app:ref:main" in done.stderr

    none = job("tokens", "exchange")
    assert (none.returncode, "ORCHARD_ID_TOKEN" in none.stderr) == (2, True)
    refused = job("tokens", "exchange", ORCHARD_ID_TOKEN=issuer.token(repository="evil/app"))
    assert (refused.returncode, "by-command: repository" in refused.stderr) == (4, True)
    assert operator("trust", "remove", "by-command").returncode == 0
    assert operator("trust", "remove", "by-command").returncode == 1
