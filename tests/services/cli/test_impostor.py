"""Whoever listens where an Orchard could: no command tells it the data folder's token without a proof."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from services.cli.server import Server
from services.cli.target import choose_target
from shared.access.identity import PATH, is_proof, new_nonce, proof
from shared.access.tokens import new_token
from tests.services.cli.conftest import Command
from tests.support.gateway import free_port, running_gateway

TOKEN = new_token()
COMMANDS = [
    ("status",),
    ("upstreams", "list"),
    ("blocks", "list"),
    ("tokens", "list"),
    ("tokens", "create", "x"),
    ("pins", "list", "npm"),
    ("audit",),
    ("events",),
    ("queue", "dead", "index"),
    ("cache", "show", "pypi"),
    ("cache", "warm", "pypi", "app"),
    ("cache", "invalidate", "pypi", "app"),
    ("resolve", "pkg:pypi/app@1.0"),
    ("client-config", "pip"),
]

Answers = Callable[[str], bytes]  # by the path asked for, with its query


@contextmanager
def _impostor(answers: Answers) -> Iterator[tuple[int, list[str]]]:
    """Its port, and all that it was told: request lines, headers and bodies."""
    told: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.append(f"{self.requestline}\n{self.headers}\n{body.decode('latin-1')}")
            answer = answers(self.path)
            self.send_response(200 if answer else 401)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, told
        finally:
            server.shutdown()
            thread.join()


def _health(_: str) -> bytes:
    return b'{"status":"ok","version":"1"}'


def _knows_another_token(path: str) -> bytes:
    nonce = parse_qs(urlsplit(path).query).get("nonce", [""])[0]
    return json.dumps({"status": "ok", "proof": proof(new_token(), 8080, nonce)}).encode()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("port", ["its own", "one above"])
def test_command__somebody_else_listens__is_told_no_token(
    tmp_path: Path, words: tuple[str, ...], port: str
) -> None:
    (tmp_path / "admin-token").write_text(TOKEN + "\n")
    with _impostor(_health) as (there, told):
        own = there if port == "its own" else there - 1
        command = Command(tmp_path, ORCHARD_DATA_DIR=str(tmp_path), ORCHARD_PORT=str(own))
        done = command("--url", f"http://127.0.0.1:{there}", *words)
    assert TOKEN not in "".join(told) + done.stdout + done.stderr
    assert "uthorization" not in "".join(told)
    assert told or words[0] == "client-config"


@pytest.mark.parametrize("answers", [_health, _knows_another_token, lambda _: b"", lambda _: b"[]"])
def test_server__no_proof__asks_without_the_token_and_says_why(tmp_path: Path, answers: Answers) -> None:
    (tmp_path / "admin-token").write_text(TOKEN)
    with _impostor(answers) as (port, told):
        command = Command(tmp_path, ORCHARD_DATA_DIR=str(tmp_path), ORCHARD_PORT=str(port))
        done = command("upstreams", "list")
    assert not any(TOKEN in each or "uthorization" in each for each in told)
    if answers("/") == b"":
        assert (done.returncode, "did not prove" in done.stderr) == (4, True)


def test_gateway__proves_itself__and_nobody_can_pass_its_proof_on(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "admin-token").write_text(TOKEN)
    settings = {**store_settings, "ORCHARD_ADMIN_TOKEN": TOKEN, "ORCHARD_ANONYMOUS_READ": "false"}
    with running_gateway(settings, tmp_path, port=free_port()) as gateway:
        environ = {"ORCHARD_DATA_DIR": str(tmp_path), "ORCHARD_PORT": str(gateway.port)}
        server = Server(choose_target("", environ))
        assert server.request("GET", "/api/v1/admin/tokens", admin=True).status == 200
        assert server.request("GET", "/api/v1/queues").status == 200
        own = f"http://127.0.0.1:{gateway.port}"

        def passed_on(path: str) -> bytes:
            try:
                with urllib.request.urlopen(own + path) as answer:
                    body: bytes = answer.read()
                    return body
            except OSError:
                return b""

        with _impostor(passed_on) as (port, told):
            near = {"ORCHARD_DATA_DIR": str(tmp_path), "ORCHARD_PORT": str(port)}
            Server(choose_target("", near)).request("GET", "/api/v1/admin/tokens", admin=True)
        assert PATH in told[0] and TOKEN not in "".join(told)
        for wrong in ("", "?nonce=", "?nonce=xyz", f"?nonce={'A' * 32}", f"?nonce={'a' * 33}"):
            assert gateway.request(PATH + wrong).status == 400


def test_gateway__token_that_a_person_chose__proves_nothing(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    """Whoever asks could try out guesses on the proof."""
    chosen = "an-operators-token"
    with running_gateway({**store_settings, "ORCHARD_ADMIN_TOKEN": chosen}, tmp_path) as gateway:
        answer = gateway.request(f"{PATH}?nonce={new_nonce()}")
    assert (answer.status, json.loads(answer.body)) == (200, {"proof": ""})
    assert not is_proof("", chosen, gateway.port, "a" * 32)
