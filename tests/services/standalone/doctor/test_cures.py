"""What the doctor says of sign-in, addresses, keys, feeds and the bound, each with its cure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from services.standalone.doctor.addresses import address_findings, as_it_runs
from services.standalone.doctor.machine import key_findings
from services.standalone.doctor.signin import DISCOVERY, clock_of, signin_findings
from services.standalone.doctor.stores import bound_findings, feed_findings, orchard_findings, read_figures
from services.standalone.servers import free_port
from shared.access.identity import proof
from shared.access.tokens import new_token
from shared.settings import Settings
from shared.tlog.signing import new_signer_text
from tests.support.issuer import Issuer

NOW = 1_800_000_000.0
GIB = 1024**3


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


def of_issuer(issuer: Issuer) -> tuple[str, str]:
    """State, and what was found with its cure."""
    (found,) = signin_findings(Settings(oidc_issuer=issuer.url))
    assert bool(found.cure) is (found.state != "ok")
    return found.state, f"{found.detail} -> {found.cure}"


def test_sign_in__a_provider_as_it_should_be__ok(issuer: Issuer) -> None:
    assert of_issuer(issuer)[0] == "ok"


def test_sign_in__offline_or_by_tokens_alone__nobody_is_asked(issuer: Issuer) -> None:
    assert signin_findings(Settings(oidc_issuer=issuer.url, offline=True)) == []
    assert signin_findings(Settings()) == [] and issuer.asked == {}


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        (DISCOVERY, (404, {}, b""), "answers 404 -> check ORCHARD_OIDC_ISSUER"),
        (DISCOVERY, (200, {}, b"<html>"), "no OpenID provider"),
        (DISCOVERY, (200, {}, b'{"issuer": "https://b.example.com", "jwks_uri": ""}'), "b.example.com"),
        ("/keys", (200, {}, b'{"keys": []}'), "publishes no keys"),
        ("/keys", (500, {}, b""), "publishes no keys"),
    ],
    ids=("no-configuration", "a-page", "another-issuer", "no-keys", "keys-fail"),
)
def test_sign_in__a_provider_that_is_not_what_it_should_be__failed(
    issuer: Issuer, path: str, answer: tuple[int, dict[str, str], bytes], words: str
) -> None:
    issuer.answers[path] = answer
    state, said = of_issuer(issuer)
    assert state == "failed" and words in said


def test_sign_in__without_a_place_to_sign_in_at__failed(issuer: Issuer) -> None:
    issuer.answers[DISCOVERY] = (200, {}, issuer.configuration(authorization_endpoint=""))
    assert of_issuer(issuer) == ("failed", "it names no place to sign in at -> ask those who run it")


@pytest.mark.parametrize(("ahead", "state"), [(90, "failed"), (-90, "failed"), (0, "ok")])
def test_sign_in__a_clock_by_which_its_tokens_are_refused__failed(ahead: int, state: str) -> None:
    found = clock_of("sign-in", ahead)
    assert found.state == state and ("set it by NTP" in found.cure) is (state == "failed")


def test_sign_in__a_provider_that_is_away__failed_with_the_way_to_it() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (found,) = signin_findings(Settings(oidc_issuer=url))
    assert found.state == "failed" and "nobody listens" in found.detail and "firewall" in found.cure


def test_sign_in__the_issuer_of_a_ci__is_asked(issuer: Issuer) -> None:
    rule = f"corp {issuer.url} http://orchard.example.com repository=corp/*"
    (found,) = signin_findings(Settings(trusted_ci=(rule,)))
    assert found.state == "ok" and issuer.url in found.check


AUTHORIZED: dict[int, str] = {}
"""By port, what came as Authorization."""


def asked_with(url: str) -> str | None:
    return AUTHORIZED.pop(int(url.rpartition(":")[2]), None)


@contextmanager
def gateway(
    token: str, port: int, status: int = 200, text: bytes = b"", more: Mapping[str, bytes] | None = None
) -> Iterator[str]:
    """What answers `/health/identity` for a gateway with this token at this port (0: where it listens)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonce = parse_qs(urlsplit(self.path).query).get("nonce", [""])[0]
            body = text or json.dumps({"proof": proof(token, port or own, nonce)}).encode()
            body = (more or {}).get(self.path, body)
            if "authorization" in self.headers:
                AUTHORIZED[own] = self.headers["authorization"]
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    own = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("port", "own", "status", "text", "state", "words"),
    [
        (8080, True, 200, b"", "ok", "leads here"),
        (8081, True, 200, b"", "ok", "leads here"),  # the second of two gateways
        (8080, False, 200, b"", "failed", "another Orchard"),
        (9999, True, 200, b"", "failed", "another Orchard"),
        (0, True, 200, b"", "ok", "leads here"),  # at the port of the address itself
        (8080, True, 200, b"<html>hello</html>", "failed", "is no Orchard"),
        (8080, True, 502, b"bad gateway", "failed", "answers 502"),
        (8080, True, 404, b"", "warning", "does not pass on"),
    ],
    ids=(
        "here",
        "second-gateway",
        "another",
        "another-port",
        "its-own-port",
        "a-page",
        "no-upstream",
        "hidden",
    ),
)
def test_public_address__told_where_it_leads(
    tmp_path: Path, port: int, own: bool, status: int, text: bytes, state: str, words: str
) -> None:
    token = new_token()
    (tmp_path / "admin-token").write_text(token)
    with gateway(token if own else new_token(), port, status, text) as url:
        settings = Settings(data_dir=str(tmp_path), port=8080, public_url=(f"{url}/",))
        (found,) = address_findings(settings)
        assert (found.check, found.state) == ("ORCHARD_PUBLIC_URL", state) and words in found.detail
        (found,) = address_findings(Settings(data_dir=str(tmp_path), port=8080), url)
        assert (found.check, found.state) == ("ORCHARD_URL", state)


def test_public_address__of_an_operators_own_token__an_orchard_answers(tmp_path: Path) -> None:
    with gateway("a token that an operator has chosen", 8080) as url:
        settings = Settings(data_dir=str(tmp_path), public_url=(url,), admin_token="chosen, not made, long")
        (found,) = address_findings(settings)
        assert found.state == "ok" and "an Orchard answers" in found.detail


def test_public_address__where_nobody_listens__failed(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (found,) = address_findings(Settings(data_dir=str(tmp_path), public_url=(url,)))
    assert found.state == "failed" and "ORCHARD_PUBLIC_URL" in found.cure


def test_keys__that_can_be_read__ok_and_others_failed(tmp_path: Path) -> None:
    key, keys = tmp_path / "log-key", tmp_path / "keys"
    keys.mkdir()
    assert key_findings(Settings(data_dir=str(tmp_path))) == []
    key.write_text(new_signer_text("orchard.example.com"))
    (found,) = key_findings(Settings(data_dir=str(tmp_path)))
    assert found.state == "ok" and str(key) in found.detail
    named = Settings(data_dir=str(tmp_path / "x"), log_key_file=str(key), signing_keys=(str(keys),))
    (found,) = key_findings(named)
    assert found.state == "failed" and "holds no file" in found.detail
    (keys / "one.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert [each.state for each in key_findings(named)] == ["ok"]
    key.write_text("no key, but a secret")
    (found,) = key_findings(named)
    assert found.state == "failed" and "secret" not in found.detail
    key.unlink()
    (found,) = key_findings(named)
    assert found.state == "failed" and "No such file" in found.detail


FIGURES = """\
# HELP orchard_osv_feed_confirmed_at_seconds When
orchard_osv_feed_confirmed_at_seconds{feed="/feeds/young.zip"} 1.799999e+09
orchard_osv_feed_confirmed_at_seconds{feed="/feeds/old.zip"} 1.79e+09
orchard_osv_feed_confirmed_at_seconds{feed="/feeds/never.zip"} 0.0
orchard_osv_feed_faulty{feed="/feeds/never.zip"} 1.0
orchard_stored_bytes{folder="artifacts"} 3.221225472e+09
orchard_http_requests_total{method="GET",status="200"} 4.0
"""


def test_feeds__by_their_age__told() -> None:
    found = {each.check: each for each in feed_findings(read_figures(FIGURES), NOW)}
    assert {name: each.state for name, each in found.items()} == {
        "feed /feeds/young.zip": "ok", "feed /feeds/old.zip": "warning", "feed /feeds/never.zip": "failed",
    }  # fmt: skip
    assert "2777.8 h ago" in found["feed /feeds/old.zip"].detail
    assert "orchard feeds" in found["feed /feeds/old.zip"].cure


@pytest.mark.parametrize(
    ("evict_bytes", "state", "words"),
    [
        (0, "warning", "no bound"),
        (3 * GIB, "ok", "of"),
        (10**15, "warning", "free above the floor"),
    ],
    ids=("none", "met", "beyond-the-disk"),
)
def test_bound__that_the_disk_cannot_hold__told(
    tmp_path: Path, evict_bytes: int, state: str, words: str
) -> None:
    settings = Settings(data_dir=str(tmp_path), evict_bytes=evict_bytes, min_free_bytes=1)
    (found,) = bound_findings(settings, read_figures(FIGURES))
    assert found.state == state and words in found.detail and bool(found.cure) is (state != "ok")
    assert bound_findings(settings, {}) == []


def test_bound__that_nobody_has_chosen__is_no_fault(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), min_free_bytes=10**15)
    (found,) = bound_findings(settings, read_figures(FIGURES))
    assert found.state == "ok" and "the disk's floor comes first" in found.detail


def test_orchard__that_leaves_upstreams_alone__told_whatever_this_environment_names(tmp_path: Path) -> None:
    token = new_token()
    (tmp_path / "admin-token").write_text(token)
    listed = [
        {"protocol": "pypi", "name": "main", "url": "http://a/", "enabled": True, "failing": "host (away)"},
        {"protocol": "pypi", "name": "other", "url": "http://b/", "enabled": True, "failing": ""},
        {"protocol": "npm", "name": "paused", "url": "http://c/", "enabled": False, "failing": "host (away)"},
    ]
    more = {
        "/health": b'{"problems": [], "version": "1"}',
        "/metrics": b"",
        "/api/v1/admin/upstreams": json.dumps({"items": listed}).encode(),
    }
    with gateway(token, 0, more=more) as url:
        settings = Settings(data_dir=str(tmp_path), port=int(url.rpartition(":")[2]))
        found = {each.check: each.state for each in orchard_findings(settings)}
        assert found == {"Orchard": "ok", "upstream pypi/main": "failed"}
        assert asked_with(url) == f"Bearer {token}"
    with gateway(new_token(), 0, more=more) as url:  # a stranger is not given the operator's token
        settings = Settings(data_dir=str(tmp_path), port=int(url.rpartition(":")[2]))
        assert [each.check for each in orchard_findings(settings)] == ["Orchard"]
        assert asked_with(url) is None


def test_orchard__that_answers_something_else__told(tmp_path: Path) -> None:
    for status, state in ((200, "warning"), (500, "failed")):
        with gateway("", 0, status, b"hello") as url:
            settings = Settings(data_dir=str(tmp_path), port=int(url.rpartition(":")[2]))
            assert [each.state for each in orchard_findings(settings)] == [state]


@pytest.mark.parametrize(
    ("told", "environ", "port"),
    [
        ("http://127.0.0.1:18480\n", {}, 18480),
        ("http://127.0.0.1:18480\n", {"ORCHARD_PORT": "8080"}, 8080),
        ("http://127.0.0.1:x\n", {}, 8080),
        ("", {}, 8080),
    ],
)
def test_orchard__that_runs_in_the_data_folder__is_asked_where_it_listens(
    tmp_path: Path, told: str, environ: dict[str, str], port: int
) -> None:
    (tmp_path / "address").write_text(told)
    assert as_it_runs(Settings(data_dir=str(tmp_path)), environ).port == port
