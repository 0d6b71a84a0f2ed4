"""Serves what was recorded as a registry would: nginx with TLS and HTTP/2, ranges, pages in gzip."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.harness import processes
from bench.wan.recording import HOST
from bench.wan.rounds import Upstream

STORE_PASSWORD = "changeit"  # Java's own default; nothing secret is in it
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/error.log warn;
{user}
events {{ worker_connections 2048; }}
http {{
  default_type application/octet-stream;
  sendfile on;
  tcp_nodelay on;
  access_log {work}/access.log;
  client_body_temp_path {work}/tmp-body;
  proxy_temp_path {work}/tmp-proxy;
  fastcgi_temp_path {work}/tmp-f;
  uwsgi_temp_path {work}/tmp-u;
  scgi_temp_path {work}/tmp-s;
  gzip_vary on;
  gzip_proxied any;  # also for requests with Via, as registries do
  map $http_accept $packument {{ default index.json; "~vnd.npm.install-v1" abbreviated.json; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=1024;
    server_name {host};
    ssl_certificate {work}/server.pem;
    ssl_certificate_key {work}/server.key;
    ssl_session_cache shared:all:1m;
    root {root};
    location ~ ^/(?<set>[^/]+)/(?<variant>offered|stripped)/simple/(?<name>[^/]+)/$ {{
      gzip_static on;
      types {{ }}
      default_type application/vnd.pypi.simple.v1+json;
      try_files /$set/pypi/$variant/$name/index.json =404;
    }}
    location ~ ^/[^/]+/stripped/files/.*\\.metadata$ {{ return 404; }}
    location ~ ^/(?<set>[^/]+)/(?:offered|stripped)/(?<file>files/.*)$ {{ try_files /$set/pypi/$file =404; }}
    location ~ ^/[^/]+/npm/.*/-/ {{ }}
    location ~ ^/(?<document>[^/]+/npm/[^?]+)$ {{
      gzip_static on;
      types {{ }}
      default_type application/json;
      try_files /$document/$packument =404;
    }}
    location / {{ types {{ application/xml xml pom; application/java-archive jar; }} }}
  }}
}}
"""


class Server(msgspec.Struct, frozen=True):
    """The recorded registries, which the link finds under `names`."""

    port: int
    authority: str
    truststore: str

    @property
    def names(self) -> dict[str, tuple[str, int]]:
        return {HOST: ("127.0.0.1", self.port)}

    def upstream(self, chosen: str, *, core_metadata: bool) -> Upstream:
        """The registries of a set, that of PyPI with or without core metadata."""
        base = f"https://{HOST}/{chosen}"
        indexes = {
            "pypi": f"{base}/{'offered' if core_metadata else 'stripped'}/simple/",
            "npm": f"{base}/npm/",
            "maven": f"{base}/maven/",
        }
        return Upstream(indexes, self.authority, self.truststore)


@contextlib.contextmanager
def recorded(folder: Path, work: Path) -> Iterator[Server]:
    """What was recorded in `folder`, served for the length of the block."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    authority = _authority(work)
    port = processes.free_port()
    (work / "nginx.conf").write_text(
        _CONFIGURATION.format(
            work=work, root=folder, port=port, host=HOST, user="user root;" if os.geteuid() == 0 else ""
        )
    )
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [nginx, "-c", str(work / "nginx.conf"), "-p", str(work)]
    with processes.running(command, log=work / "out.log", core=None) as process:
        _wait(port, process)
        yield Server(port, str(authority), _truststore(authority))


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("nginx for the recorded registries does not start; see its error.log")
        time.sleep(0.05)


def _authority(work: Path) -> Path:
    """An authority of this run, and a certificate by it for the recorded registries' host."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca, server = work / "ca", work / "server"
    (work / "extensions").write_text(f"subjectAltName=DNS:{HOST}\nbasicConstraints=CA:FALSE\n")
    request = ["req", "-new", *key, "-keyout", f"{server}.key", "-out", f"{server}.csr"]
    sign = ["x509", "-req", "-in", f"{server}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key"]
    for arguments in (
        [
            *("req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2"),
            *("-subj", "/CN=bench authority", "-addext", "keyUsage=critical,keyCertSign"),
        ],
        [*request, "-subj", f"/CN={HOST}"],
        [
            *(*sign, "-CAcreateserial", "-out", f"{server}.pem", "-days", "2"),
            *("-extfile", str(work / "extensions")),
        ],
    ):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    return Path(f"{ca}.pem")


def _truststore(authority: Path) -> str:
    """The authority as Java reads it; "" where there is no Java."""
    if shutil.which("keytool") is None:
        return ""
    store = authority.with_suffix(".p12")
    command = ["keytool", "-importcert", "-noprompt", "-alias", "bench", "-file", str(authority)]
    command += ["-keystore", str(store), "-storetype", "PKCS12", "-storepass", STORE_PASSWORD]
    subprocess.run(command, check=True, capture_output=True)
    return str(store)
