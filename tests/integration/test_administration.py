"""The admin API over two gateways: every change in force on both, audited, and without a secret shown."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry
from tests.support.gateway import raw_request
from tests.support.orchard import JSON, Cluster, Service, cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
ADMIN = "operators-token-of-tests"
SECRET = "canary-s3cret"  # pragma: allowlist secret
WITHIN = 5.0  # seconds; in force within one, and on a busy machine a poll takes its time too


@pytest.fixture(scope="module")
def second() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(
        tmp_path_factory.mktemp("orchard"),
        upstream,
        gateways=2,
        with_postgres=True,
        ORCHARD_ANONYMOUS_READ="false",
        ORCHARD_WRONG_TOKENS="0",
        ORCHARD_ADMIN_TOKEN=ADMIN,
        ORCHARD_CACHE_TTL_NEGATIVE="1",
    ) as running:
        yield running


def ask(
    gateway: Service, path: str, token: str = "", *, method: str = "GET", **options: Any
) -> httpx.Response:
    headers = {"accept": JSON, **options.pop("headers", {})}
    if token:
        headers["authorization"] = f"Bearer {token}"
    url = gateway.base + path
    return httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **options)


def admin(orchard: Cluster, method: str, path: str, body: Any = None, *, status: int | None = None) -> Any:
    """An answer of the admin API as JSON; asserts `status`, 200 or 201 unless told."""
    answer = ask(orchard.gateway, f"/api/v1/admin/{path}", ADMIN, method=method, json=body)
    assert answer.status_code == status if status else answer.is_success, answer.text
    return answer.json()


def everywhere(orchard: Cluster, condition: Callable[[Service], bool], what: str) -> None:
    gateways = orchard.all_of("gateway")
    assert len(gateways) == 2
    wait_until(lambda: all(condition(each) for each in gateways), seconds=WITHIN, what=what)


def publish(upstream: Upstream, name: str, version: str = "1.0") -> bytes:
    wheel = build_wheel(name, version)
    upstream.add_project(name, {f"{name.replace('-', '_')}-{version}-py3-none-any.whl": wheel})
    return wheel


# --- tokens ---------------------------------------------------------------------------------------------


CLOSED = [
    "/pypi/simple/a/",
    "/npm/a",
    "/maven/a/b/maven-metadata.xml",
    "/api/v1/packages/pypi",
    "/api/v1/openapi",
    "/ui/queues",
    "/nothing",
    "/health/",
    "//health",
]


@pytest.mark.parametrize("path", CLOSED)
def test_no_token__asked_for_one_in_the_way_that_clients_know(orchard: Cluster, path: str) -> None:
    answer = ask(orchard.gateway, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Basic realm="Orchard"')
    assert problem(answer)["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/health/ready", "/metrics"])
def test_no_token__what_probes_need__is_open(orchard: Cluster, path: str) -> None:
    assert ask(orchard.gateway, path).status_code == 200


def test_token__made_and_revoked__good_and_refused_at_every_gateway_within_a_second(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name)
    page = f"/pypi/simple/{name}/"
    made = admin(orchard, "POST", "tokens", {"name": f"ci-{name}"})
    token = made["token"]
    everywhere(orchard, lambda each: ask(each, page, token).status_code == 200, "the token's arrival")
    basic = {"authorization": "Basic " + b64encode(f"anyone:{token}".encode()).decode()}
    for _ in range(3):  # from memory too
        assert ask(orchard.gateway, page, headers=basic).headers["x-cache"] in ("HIT", "MISS")
    listed = admin(orchard, "GET", "tokens")["items"]
    assert [each["scope"] for each in listed if each["name"] == f"ci-{name}"] == ["read"]
    assert token not in json.dumps(listed)
    assert ask(orchard.gateway, "/api/v1/admin/tokens", token).status_code == 403
    admin(orchard, "DELETE", f"tokens/{made['id']}")
    everywhere(orchard, lambda each: ask(each, page, token).status_code == 401, "the token's end")
    assert ask(orchard.gateway, page, headers=basic).status_code == 401  # a hot page is no way round
    admin(orchard, "DELETE", f"tokens/{made['id']}", status=404)


def test_admin_token_in_the_database__administers_and_reads(orchard: Cluster) -> None:
    made = admin(orchard, "POST", "tokens", {"name": "second-operator", "scope": "admin"})
    assert ask(orchard.gateway, "/api/v1/admin/tokens", made["token"]).status_code == 200
    assert ask(orchard.gateway, "/api/v1/packages/pypi", made["token"]).status_code == 200
    answer = ask(
        orchard.gateway, "/api/v1/admin/tokens", made["token"], method="POST", json={"name": "by-second"}
    )
    assert answer.status_code == 201
    assert admin(orchard, "GET", "audit")["items"][0]["actor"] == "second-operator"


HOSTILE = {
    "oversized": "Bearer " + "a" * 20_000,
    "bad base64": "Basic ====",
    "no colon": "Basic " + b64encode(ADMIN.encode()).decode(),
    "unicode": "Bearer ★ü",
    "nul in the password": "Basic " + b64encode(b"u:\x00").decode(),
    "empty": "",
    "another scheme": f"Digest {ADMIN}",
    "half a token": f"Bearer {ADMIN[:-1]}",
    "token twice": f"Bearer {ADMIN}, Bearer {ADMIN}",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_header__refused_like_any_wrong_one(orchard: Cluster, what: str) -> None:
    value = HOSTILE[what].encode().decode("latin-1")
    answer = raw_request(orchard.gateway.port, "/pypi/simple/a/", headers={"authorization": value})
    assert answer.status == 401
    assert ask(orchard.gateway, "/health/ready").status_code == 200


def test_page_of_another_site__cannot_administer_with_remembered_credentials(orchard: Cluster) -> None:
    for site in ("cross-site", "same-site"):
        answer = ask(orchard.gateway, "/api/v1/admin/tokens", ADMIN, headers={"sec-fetch-site": site})
        assert answer.status_code == 403


def test_form_of_another_site__cannot_administer_where_browsers_tell_no_site(orchard: Cluster) -> None:
    own = orchard.gateway.base
    body = {"name": "of-a-form", "scope": "admin"}
    for origin in ("http://other.example.com", "null", "http://[", own + "0", own.replace("127.0.0.1", "x")):
        headers = {"origin": origin, "content-type": "text/plain"}
        answer = ask(
            orchard.gateway, "/api/v1/admin/tokens", ADMIN, method="POST", headers=headers, json=body
        )
        assert (origin, answer.status_code) == (origin, 403)
    answer = ask(orchard.gateway, "/api/v1/admin/tokens", ADMIN, headers={"origin": own})
    assert answer.status_code == 200
    assert not any(each["name"] == "of-a-form" for each in answer.json()["items"])


# --- upstreams ------------------------------------------------------------------------------------------


def test_upstream__made_tested_paused_removed__in_force_everywhere(
    orchard: Cluster, second: Upstream, project: Names
) -> None:
    name = f"corp-{project()}"
    publish(second, name)
    page = f"/pypi/simple/{name}/"
    wanted = {
        "protocol": "pypi", "name": f"for-{name}", "url": f"{second.url}/simple/", "username": "reader",
        "password": SECRET, "priority": 5, "patterns": [name],
    }  # fmt: skip
    made = admin(orchard, "POST", "upstreams", wanted)
    path = f"upstreams/{made['id']}"
    assert (made["has_credentials"], made["priority"], made["patterns"]) == (True, 5, [name])
    everywhere(orchard, lambda each: ask(each, page, ADMIN).status_code == 200, "the new source's page")
    sent = second.seen(f"/simple/{name}/")[-1].headers["authorization"]
    assert sent == "Basic " + b64encode(f"reader:{SECRET}".encode()).decode()
    tested = admin(orchard, "POST", f"{path}/test?project={name}")
    assert (tested["ok"], tested["status"]) == (True, 200)
    assert admin(orchard, "POST", f"{path}/test?project=no-such-thing")["ok"] is False
    assert admin(orchard, "POST", "upstreams", wanted, status=409)["code"] == "conflict"
    admin(orchard, "PATCH", path, {"enabled": False})
    everywhere(orchard, lambda each: ask(each, page, ADMIN).status_code == 424, "the pause")
    admin(orchard, "PATCH", path, {"enabled": True, "token": "bearer-of-tests"})
    everywhere(orchard, lambda each: ask(each, page, ADMIN).status_code == 200, "the end of the pause")
    wait_until(
        lambda: second.seen(f"/simple/{name}/")[-1].headers["authorization"] == "Bearer bearer-of-tests",
        what="the new credentials",
    )
    assert admin(orchard, "DELETE", path) == {"removed": f"pypi/for-{name}"}
    everywhere(orchard, lambda each: ask(each, page, ADMIN).status_code == 424, "the removal")
    entries = [
        e for e in admin(orchard, "GET", "audit?limit=500")["items"] if e["subject"] == f"pypi/for-{name}"
    ]
    assert [e["action"] for e in entries] == [
        "upstream.delete", "upstream.change", "upstream.change", "upstream.create",
    ]  # fmt: skip
    assert entries[1]["after"]["credentials"] == "replaced"
    assert (entries[2]["before"]["enabled"], entries[2]["after"]["enabled"]) == (True, False)
    shown = json.dumps(admin(orchard, "GET", "upstreams")) + json.dumps(entries) + orchard.logs()
    assert SECRET not in shown
    assert "bearer-of-tests" not in shown


def test_upstream_test__one_that_fails_or_refuses__says_so(
    orchard: Cluster, second: Upstream, project: Names
) -> None:
    made = admin(
        orchard, "POST", "upstreams",
        {"protocol": "pypi", "name": f"t-{project()}", "url": f"{second.url}/simple/", "priority": 900},
    )  # fmt: skip
    path = f"upstreams/{made['id']}/test?project=refused"
    second.fault("/simple/refused/", Fault(status=401))
    tested = admin(orchard, "POST", path)
    assert (tested["ok"], tested["status"]) == (False, 401)
    assert "credentials" in tested["detail"]
    admin(orchard, "PATCH", f"upstreams/{made['id']}", {"url": "http://127.0.0.1:9/simple/"})
    tested = admin(orchard, "POST", path)
    assert (tested["ok"], tested["status"]) == (False, 0)
    assert tested["detail"]
    admin(orchard, "DELETE", f"upstreams/{made['id']}")


def test_upstream__not_reached_again_and_again__is_shown_as_failing(orchard: Cluster, project: Names) -> None:
    name = f"dead-{project()}"
    made = admin(
        orchard, "POST", "upstreams",
        {"protocol": "pypi", "name": name, "url": "http://127.0.0.1:9/simple/", "patterns": [f"{name}-*"]},
    )  # fmt: skip
    path = f"upstreams/{made['id']}"
    assert admin(orchard, "GET", path)["failing"] == ""
    everywhere(
        orchard, lambda each: ask(each, f"/pypi/simple/{name}-0/", ADMIN).status_code == 503, "the new source"
    )
    for number in range(5):
        assert ask(orchard.gateway, f"/pypi/simple/{name}-{number}/", ADMIN).status_code == 503
    wait_until(lambda: admin(orchard, "GET", path)["failing"], what="the breaker")
    (listed,) = [each for each in admin(orchard, "GET", "upstreams")["items"] if each["id"] == made["id"]]
    assert listed["failing"] == "upstream_unavailable"
    admin(orchard, "DELETE", path)


def test_url_of_another_host__needs_the_credentials_again(
    orchard: Cluster, second: Upstream, project: Names
) -> None:
    made = admin(
        orchard, "POST", "upstreams",
        {"protocol": "npm", "name": f"m-{project()}", "url": "https://a.example.com/", "token": SECRET},
    )  # fmt: skip
    path = f"upstreams/{made['id']}"
    refused = admin(orchard, "PATCH", path, {"url": "https://evil.example.com/"}, status=400)
    assert refused["detail"].startswith("url: ")
    assert admin(orchard, "PATCH", path, {"url": "https://a.example.com/npm/"})["url"].endswith("/npm/")
    changed = admin(orchard, "PATCH", path, {"url": "https://b.example.com/", "token": ""})
    assert changed["has_credentials"] is False
    admin(orchard, "DELETE", path)


def test_credentials_for_files_at_another_host__only_where_the_operator_gives_them(
    orchard: Cluster, second: Upstream, project: Names
) -> None:
    name = project()
    with Upstream() as files:
        registry = Registry(second, prefix=f"/{name}", dl=f"{files.url}/crates")
        for version in ("1.0.0", "2.0.0"):
            content = registry.add(f"{name}-x", version)
            files.put(Registry.file(f"{name}-x", version), content)
        made = admin(
            orchard, "POST", "upstreams",
            {"protocol": "cargo", "name": name, "url": f"{second.url}/{name}/", "token": SECRET,
             "patterns": [f"{name}-*"]},
        )  # fmt: skip
        path = f"upstreams/{made['id']}"
        first = Registry.file(f"{name}-x", "1.0.0")
        files.fault(first, Fault(status=401), times=1)
        refused = ask(orchard.gateway, f"/cargo/dl/{name}-x/1.0.0/download", ADMIN)
        assert refused.status_code == 403 and f"{name} --also-at HOST" in problem(refused)["detail"]
        host = files.url.removeprefix("http://")
        alone = admin(orchard, "PATCH", path, {"credential_hosts": [host]}, status=400)
        assert alone["detail"].startswith("credential_hosts: ")
        admin(orchard, "PATCH", path, {"token": SECRET, "credential_hosts": [host]})

        def is_served() -> bool:
            return ask(orchard.gateway, f"/cargo/dl/{name}-x/2.0.0/download", ADMIN).content == content

        wait_until(is_served, what="the crate")
        sent = [request.headers.get("authorization") for request in files.requests]
        assert sent[0] is None and sent[-1] == SECRET
        admin(orchard, "DELETE", path)


def test_upstream_of_the_environment__paused_here_changed_there(orchard: Cluster) -> None:
    known = next(
        e for e in admin(orchard, "GET", "upstreams?protocol=maven")["items"] if e["origin"] == "env"
    )
    path = f"upstreams/{known['id']}"
    assert (
        "ORCHARD_MAVEN_UPSTREAM"
        in admin(orchard, "PATCH", path, {"url": "https://x.example.com/"}, status=409)["detail"]
    )
    assert "ORCHARD_MAVEN_UPSTREAM" in admin(orchard, "DELETE", path, status=409)["detail"]
    assert admin(orchard, "PATCH", path, {"priority": 7})["priority"] == 7


INVALID = [
    ("upstreams", {"protocol": "none", "name": "x", "url": "https://a.example.com/"}, "protocol"),
    ("upstreams", {"protocol": "pypi", "name": "no good", "url": "https://a.example.com/"}, "name"),
    ("upstreams", {"protocol": "pypi", "name": "x", "url": "ftp://a.example.com/"}, "url"),
    ("upstreams", {"protocol": "pypi", "name": "x", "url": "https://u:p@a.example.com/"}, "url"),
    (
        "upstreams",
        {"protocol": "pypi", "name": "x", "url": "https://a.example.com/", "password": "a\nb"},
        "password",
    ),
    (
        "upstreams",
        {"protocol": "pypi", "name": "x", "url": "https://a.example.com/", "priority": "high"},
        "priority",
    ),
    (
        "upstreams",
        {"protocol": "pypi", "name": "x", "url": "https://a.example.com/", "patterns": ["a b"]},
        "patterns",
    ),
    (
        "upstreams",
        {"protocol": "pypi", "name": "x", "url": "https://a.example.com/", "passwort": "p"},
        "passwort",
    ),
    ("upstreams", {"protocol": "pypi", "name": "x"}, "url"),
    ("blocks", {"protocol": "pypi", "name": "x"}, "reason"),
    ("blocks", {"reason": "r", "sha256": "zz"}, "sha256"),
    ("blocks", {"reason": "r", "name": "x"}, "protocol"),
    ("blocks", {"reason": "r", "protocol": "maven", "name": "log4j"}, "name"),
    ("blocks", {"reason": "r", "protocol": "maven", "name": "org/x:evil"}, "name"),
    ("blocks", {"reason": "r", "protocol": "npm", "name": "left-pad@1.3.0"}, "name"),
    ("blocks", {"reason": "r", "protocol": "pypi", "name": "flask==1.0"}, "name"),
    ("blocks", {"reason": "a\x00b", "protocol": "pypi", "name": "x"}, "reason"),
    ("tokens", {"name": "no good"}, "name"),
    ("tokens", {"name": "x", "scope": "root"}, "scope"),
    ("cache/invalidate", {"protocol": "pypi"}, "project"),
]


@pytest.mark.parametrize(("path", "body", "field"), INVALID)
def test_invalid_body__refused_naming_the_field(orchard: Cluster, path: str, body: Any, field: str) -> None:
    refused = admin(orchard, "POST", path, body, status=400)
    assert field in refused["detail"].split(":")[0], refused["detail"]


def test_invalid_json__refused(orchard: Cluster) -> None:
    for content in (b"", b"{", b"[]", b"\xff\xfe", b'{"name":' + b"[" * 5000):
        answer = ask(orchard.gateway, "/api/v1/admin/tokens", ADMIN, method="POST", content=content,
                     headers={"content-type": "application/json"})  # fmt: skip
        assert answer.status_code == 400, (content[:20], answer.text)


# --- pins, pages, the log ---------------------------------------------------------------------------------


def test_pin__listed_and_let_go__the_next_source_is_asked(
    orchard: Cluster, upstream: Upstream, second: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name)
    page = f"/pypi/simple/{name}/"
    assert ask(orchard.gateway, page, ADMIN).status_code == 200
    (pin,) = admin(orchard, "GET", f"pins?protocol=pypi&prefix={name}")["items"]
    assert (pin["project"], pin["source"]) == (name, "pypi")
    upstream.remove(f"/simple/{name}/")
    publish(second, name, "2.0")
    made = admin(
        orchard,
        "POST",
        "upstreams",
        {"protocol": "pypi", "name": f"n-{name}", "url": f"{second.url}/simple/"},
    )
    everywhere(orchard, lambda each: ask(each, page, ADMIN).status_code == 404, "a pinned name's true 404")
    admin(orchard, "DELETE", f"pins/pypi/{name.upper()}")
    everywhere(orchard, lambda each: "2.0" in ask(each, page, ADMIN).text, "the second source's page")
    admin(orchard, "DELETE", f"pins/pypi/{name}-unknown", status=404)
    admin(orchard, "DELETE", f"upstreams/{made['id']}")


def test_invalidate__one_page__is_asked_for_again(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name)
    page = f"/pypi/simple/{name}/"
    assert ask(orchard.gateway, page, ADMIN).headers["x-cache"] == "MISS"
    assert ask(orchard.gateway, page, ADMIN).headers["x-cache"] == "HIT"
    before = upstream.count(page.removeprefix("/pypi"))
    assert admin(orchard, "POST", "cache/invalidate", {"protocol": "pypi", "project": name}) == {
        "invalidated": 1
    }
    assert ask(orchard.gateway, page, ADMIN).status_code == 200
    assert upstream.count(page.removeprefix("/pypi")) == before + 1


def test_audit__in_pages__each_entry_once_the_newest_first(orchard: Cluster) -> None:
    for number in range(5):
        admin(orchard, "POST", "tokens", {"name": f"paged-{number}"})
    ids, cursor = [], ""
    while True:
        page = admin(orchard, "GET", f"audit?limit=2&cursor={cursor}")
        ids += [each["id"] for each in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) >= 5
    entry = admin(orchard, "GET", "audit?limit=1")["items"][0]
    assert (entry["actor"], entry["action"], entry["subject"]) == (
        "ORCHARD_ADMIN_TOKEN",
        "token.create",
        "paged-4",
    )
    assert abs(entry["at"] - time.time()) < 60


def test_api_requests__are_logged_and_counted_like_packages(orchard: Cluster) -> None:
    mark = "/api/v1/packages/npm"
    assert ask(orchard.gateway, f"{mark}?prefix=hidden-query", ADMIN).status_code == 200
    assert ask(orchard.gateway, mark).status_code == 401

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in orchard.logs().splitlines() if f'"path":"{mark}"' in line]

    wait_until(lambda: {each["status"] for each in lines()} == {200, 401}, what="the log lines")
    refused = next(each for each in lines() if each["status"] == 401)
    assert (refused["method"], refused["error"]) == ("GET", "unauthorized")
    assert "hidden-query" not in orchard.logs()
    assert ADMIN not in orchard.logs()
    metrics = ask(orchard.gateway, "/metrics").text
    assert any('protocol="api"' in line for line in metrics.splitlines() if "http_requests_total" in line)


def test_request_without_an_id__one_id_in_the_answer_the_error_and_the_audit(orchard: Cluster) -> None:
    missing = ask(orchard.gateway, "/api/v1/admin/blocks/999999", ADMIN, method="DELETE")
    made = missing.headers.get_list("x-request-id")
    assert len(made) == 1
    assert made[0] == problem(missing)["request_id"] != ""
    body = {"protocol": "npm", "name": f"n{time.time_ns()}", "reason": "for its id"}
    added = ask(orchard.gateway, "/api/v1/admin/blocks", ADMIN, method="POST", json=body)
    entry = admin(orchard, "GET", "audit?limit=1")["items"][0]
    assert entry["request_id"] == added.headers["x-request-id"] != made[0]
    admin(orchard, "DELETE", f"blocks/{added.json()['id']}")
    bad = ask(orchard.gateway, "/api/v1/nothing", ADMIN, headers={"x-request-id": 'a"b'})
    assert problem(bad)["request_id"] == bad.headers["x-request-id"] != 'a"b'


def test_openapi__describes_the_admin_api(orchard: Cluster) -> None:
    paths = ask(orchard.gateway, "/api/v1/openapi/openapi.json", ADMIN).json()["paths"]
    assert {"get", "post"} <= paths["/api/v1/admin/upstreams"].keys()
    assert {"get", "patch", "delete"} <= paths["/api/v1/admin/upstreams/{upstream_id}"].keys()


# --- stores away (last: they come back, but the module's services have seen it) ----------------------------


def test_postgres_away__known_tokens_stay_good_also_at_a_gateway_that_starts_now(orchard: Cluster) -> None:
    token = admin(orchard, "POST", "tokens", {"name": "outlives-postgres"})["token"]
    everywhere(orchard, lambda each: ask(each, "/npm/-/ping", token).status_code == 200, "the token")
    orchard.postgres.stop()
    try:
        third = orchard.start("gateway")
        for each in orchard.all_of("gateway"):
            assert ask(each, "/npm/-/ping", token).status_code != 401
            assert ask(each, "/npm/-/ping", token + "x").status_code == 401
        assert ask(third, "/api/v1/admin/tokens", ADMIN).status_code == 503
    finally:
        orchard.postgres.start()
    third.stop()
