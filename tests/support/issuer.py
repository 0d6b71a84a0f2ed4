"""An issuer of identity tokens on loopback that tests make say anything: discovery, keys, a token endpoint.

Providers that behave are real ones (tests/services/gateway/pages/test_provider.py); this one lies.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl

from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

AUDIENCE = "http://orchard.example.com"
_REGISTRY = jws.JWSRegistry(algorithms=["RS256", "RS512", "ES256", "EdDSA"], strict_check_header=False)

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
FOREIGN = RSAKey.generate_key(2048, {"kid": "rsa"})  # of the same name, and of somebody else
KEYS: tuple[Key, ...] = (RSA, EC, ED)


def public(*keys: Key) -> dict[str, Any]:
    """A JWKS."""
    return {"keys": [{**each.as_dict(private=False), "use": "sig"} for each in keys]}


def signed(claims: Mapping[str, Any], key: Key = RSA, alg: str = "RS256", **header: Any) -> str:
    """A token with these claims; a header of None is left out."""
    head = {"alg": alg, "kid": key.kid, **header}
    shown = {name: value for name, value in head.items() if value is not None}
    return jwt.encode(shown, dict(claims), key, registry=_REGISTRY)


class Issuer:
    """Serves what its fields say; `asked` counts requests by path. `answers` puts another answer at a path:
    status, headers, body; or a function that is called instead."""

    def __init__(self) -> None:
        self.keys: list[Key] = list(KEYS)
        self.asked: dict[str, int] = {}
        self.answers: dict[str, tuple[int, dict[str, str], bytes] | Callable[[], None]] = {}
        self.posted: list[tuple[dict[str, str], dict[str, str]]] = []  # fields and headers of each form
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a job; None leaves one out."""
        now = int(time.time())
        found = {
            "iss": self.url, "aud": AUDIENCE, "sub": "repo:corp/app:ref:main", "repository": "corp/app",
            "iat": now, "nbf": now, "exp": now + 300, "jti": "1", **more,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    def token(self, key: Key = RSA, alg: str = "RS256", **claims: Any) -> str:
        """A good token, but for what is named."""
        return signed(self.claims(**claims), key, alg)

    def configuration(self, **more: Any) -> bytes:
        """What discovery finds."""
        return json.dumps(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                **more,
            }
        ).encode()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What is at a path where nothing is planned."""
        kind = {"content-type": "application/json"}
        if path == "/.well-known/openid-configuration":
            return 200, kind, self.configuration()
        if path == "/keys":
            return 200, kind, json.dumps(public(*self.keys)).encode()
        return 404, kind, b"{}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                issuer.asked[path] = issuer.asked.get(path, 0) + 1
                planned = issuer.answers.get(path)
                if callable(planned):
                    planned()
                    planned = None
                status, headers, body = planned or issuer.answer(path)
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                issuer.posted.append((dict(parse_qsl(body)), {k.lower(): v for k, v in self.headers.items()}))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                return

        return Handler
