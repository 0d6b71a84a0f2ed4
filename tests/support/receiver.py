"""A receiver of webhooks on loopback, with its own check of the signature, written from the specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

SECRET = "whsec_" + base64.b64encode(b"tests only, tests only, tests!!!").decode()


def check_signature(headers: dict[str, str], body: bytes, secret: str = SECRET) -> None:
    """Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, as `v1,base64`. Raises `AssertionError`."""
    key = base64.b64decode(secret.split("_", 1)[1])
    said = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    given = [
        each.split(",", 1)[1] for each in headers["webhook-signature"].split(" ") if each.startswith("v1,")
    ]
    assert expected in given


class Receiver:
    """Notes what it gets. `status`: what it answers; `held`: cleared, it takes requests and answers none."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.held = threading.Event()
        self.held.set()
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                receiver.held.wait(30)
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                receiver.got.append(({"method": "GET"}, b""))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in?key=of-the-receiver"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> list[dict[str, Any]]:
        """What came, in order: structured CloudEvents, each with a good signature."""
        for headers, body in self.got:
            check_signature(headers, body)
        return [json.loads(body) for _, body in self.got]

    def types(self) -> list[str]:
        return [each["type"] for each in self.events()]


@pytest.fixture
def receiver() -> Any:
    with Receiver() as it:
        yield it
