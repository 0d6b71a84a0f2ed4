"""docs/team-server.md: the command and the settings take its lines, its nginx passes on what it should."""

from __future__ import annotations

import http.server
import re
import shlex
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from services.cli.parser import build_parser
from services.gateway.http.bodies import FORWARDED_BYTES, MOST_BYTES
from shared.access.exposure import check_exposure
from shared.settings import load_settings
from tests.support.gateway import free_port
from tests.support.orchard import wait_until
from tests.support.proxy import NGINX, is_root, listens, needs_nginx
from tests.support.stores import ROOT

PAGE = (ROOT / "docs" / "team-server.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)


def test_lines__the_command_takes_each() -> None:
    text = "\n".join(BLOCKS).replace("\\\n", " ")
    lines = re.findall(
        r"(?:/orchard|orchard\.pyz) ((?:doctor|status|tokens|client-config|restore|backup)\b.*)", text
    )
    lines += re.findall(r"`orchard (tokens rotate [^`]*|backup [^`]*)`", PAGE)
    assert len(lines) >= 6
    for line in lines:
        assert build_parser().parse_args(shlex.split(line)).run


def test_settings__are_known_and_let_no_stranger_in() -> None:
    (block,) = (each for each in BLOCKS if each.startswith("ORCHARD_PUBLIC_URL"))
    settings = load_settings(dict(line.split("=", 1) for line in block.splitlines()))
    check_exposure(settings)
    assert settings.anonymous_read is False
    named = set(re.findall(r"`(ORCHARD_[A-Z0-9_]+)`", PAGE))
    known = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in named if f"`{name}`" not in known] == []


class _Told(http.server.BaseHTTPRequestHandler):
    """Answers with what reached it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.headers).encode() + f"path: {self.path}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _in_front(folder: Path, behind: int) -> Iterator[HTTPSConnection]:
    """The page's nginx, over TLS with a certificate of its own."""
    port = free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=orchard.example.com",
         "-addext", "subjectAltName=DNS:orchard.example.com",
         "-keyout", str(folder / "orchard.key"), "-out", str(folder / "orchard.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    site = (ROOT / "deploy" / "systemd" / "nginx.conf").read_text()
    for was, becomes in (
        ("server 127.0.0.1:8080;", f"server 127.0.0.1:{behind};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/nginx/orchard.", f"{folder}/orchard."),
    ):
        assert was in site
        site = site.replace(was, becomes)
    kept = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"pid {folder}/pid;\nevents {{}}\nhttp {{\n{kept}{site}}}\n")
    assert NGINX is not None
    user = " user root;" if is_root() else ""
    process = subprocess.Popen(
        [
            NGINX,
            "-e",
            "stderr",
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-g",
            f"daemon off;{user}",
        ],
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, what="nginx listens")
        assert process.poll() is None, process.stderr and process.stderr.read()
        trusted = ssl.create_default_context(cafile=str(folder / "orchard.pem"))
        trusted.check_hostname = False  # it is reached by its number
        yield HTTPSConnection("127.0.0.1", port, context=trusted, timeout=30)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[HTTPSConnection]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Told)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with _in_front(tmp_path, server.server_address[1]) as connection:
            yield connection
            connection.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _asked(front: HTTPSConnection, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    front.request("GET" if body is None else "POST", path, body=body, headers={
        "host": "orchard.example.com", **{name.replace("_", "-"): value for name, value in headers.items()}
    })  # fmt: skip
    answer = front.getresponse()
    return answer.status, answer.read().decode().lower()


@needs_nginx
def test_nginx__tells_the_address_that_the_client_used__whatever_that_one_claims(
    front: HTTPSConnection,
) -> None:
    status, told = _asked(front, "/npm/@corp%2flib", x_forwarded_host="evil.example", x_forwarded_proto="ftp")
    assert status == 200
    assert "host: orchard.example.com" in told and "x-forwarded-proto: https" in told
    assert "evil.example" not in told and "ftp" not in told
    assert "path: /npm/@corp%2flib" in told  # as it was sent


@needs_nginx
@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(
            (path, 404)
            for path in ("/metrics", "//metrics/", "/%6detrics", "/health", "/health/", "/health/ready")
        ),
        ("/health/live", 200),
    ],
)
def test_nginx__what_is_for_operators__is_not_outside(front: HTTPSConnection, path: str, status: int) -> None:
    assert _asked(front, path)[0] == status


@needs_nginx
def test_nginx__takes_the_largest_body_that_orchard_takes(front: HTTPSConnection) -> None:
    largest = max(FORWARDED_BYTES, *MOST_BYTES.values())
    assert _asked(front, "/api/v1/ensure", bytes(largest))[0] == 200
