"""What `cargo generate-lockfile` locks out of an index served on loopback, and what our resolver does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from packageurl import PackageURL

from shared.errors import OrchardError
from shared.protocols.cargo import names
from shared.protocols.cargo.index import read_index_file
from shared.protocols.cargo.resolver.requests import Asked, read_asked
from shared.protocols.cargo.resolver.resolve import CargoResolver
from shared.protocols.resolution import Absent, KnownDocuments, NeededDocuments

CARGO_SECONDS = 300

Lock = set[str]
"""`name version` of each locked package but the root."""

Index = Callable[[str], bytes | None]
"""A crate's index file by its project; None where there is none."""


def manifest(requirements: Sequence[str], *, rust: str = "") -> str:
    """The Cargo.toml of a package that depends on the requirements; `rust` as "1.85"."""
    lines = ["[package]", 'name = "oracle-root"', 'version = "0.0.0"', 'edition = "2021"']
    if rust:
        lines += [f'rust-version = "{rust}"', 'resolver = "3"']
    lines += ["[lib]", 'path = "lib.rs"', "[dependencies]"]
    lines += [f"{asked.name} = {{ {_fields(asked)} }}" for asked in map(read_asked, requirements)]
    return "\n".join(lines) + "\n"


def _fields(asked: Asked) -> str:
    features = ", ".join(map(json.dumps, asked.features))
    default = str(asked.default_features).lower()
    return f"version = {json.dumps(asked.requirement)}, features = [{features}], default-features = {default}"


def by_cargo(project: Path, home: Path, text: str, *, index_url: str = "") -> tuple[Lock | None, str]:
    """The lock of a manifest, or None and what cargo said. Without `index_url`: from the machine's own."""
    project.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    (project / "Cargo.toml").write_text(text)
    (project / "lib.rs").write_text("")
    (project / "Cargo.lock").unlink(missing_ok=True)
    command = ["cargo", "generate-lockfile", "--quiet"]
    if index_url:
        command += ["--config", 'source.crates-io.replace-with="loopback"']
        command += ["--config", f'source.loopback.registry="sparse+{index_url}"']
    environment = {**os.environ, "CARGO_HOME": str(home)}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=CARGO_SECONDS
    )
    lock = project / "Cargo.lock"
    if done.returncode or not lock.exists():
        return None, done.stderr.strip()
    packages = tomllib.loads(lock.read_text())["package"]
    return {f"{each['name']} {each['version']}" for each in packages if each["name"] != "oracle-root"}, ""


def by_resolver(
    index: Index, requirements: Sequence[str], *, rust: str = "", steps: list[int] | None = None
) -> tuple[Lock | None, str]:
    """The same from our resolver; `steps` gets the number of documents that each step asked for."""
    resolver = CargoResolver()
    known = KnownDocuments()
    try:
        request = resolver.request(
            requirements=tuple(requirements), environment=f"rust-{rust}" if rust else "", max_depth=200
        )
        while isinstance(outcome := resolver.resolve(request, None, known), NeededDocuments):
            if steps is not None:
                steps.append(len(outcome.documents))
            for document in outcome.documents:
                body = index(document.project)
                known.documents[document] = (
                    Absent("no source knows it")
                    if body is None
                    else resolver.prepare_index(read_index_file(document.project, body).body)
                )
    except OrchardError as error:
        return None, str(error)
    locked = {f"{PackageURL.from_string(node.purl).name} {node.version}" for node in outcome.nodes}
    left_out = "; ".join(f"{each.name}: {each.reason}" for each in outcome.unresolved)
    return locked, left_out


def by_orchard(base: str, requirements: Sequence[str]) -> tuple[Lock | None, str]:
    """The same from an Orchard that runs at `base`, which asks its own upstream."""
    body = {"protocol": "cargo", "requirements": list(requirements), "max_depth": 200}
    answer = httpx.post(f"{base}/api/v1/resolve", json=body, timeout=60)
    while answer.status_code == httpx.codes.ACCEPTED:
        time.sleep(float(answer.headers["retry-after"]))
        answer = httpx.get(base + answer.json()["location"], timeout=60)
    if answer.is_error:
        return None, answer.text
    graph = answer.json()
    locked = {f"{PackageURL.from_string(each['purl']).name} {each['version']}" for each in graph["nodes"]}
    return locked, "" if graph["complete"] else "it is not complete"


@contextlib.contextmanager
def serve(index: Index) -> Iterator[str]:
    """A sparse index on loopback; its address. Bodies that begin anew are seen at once: nothing is cached."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            project = self.path.rpartition("/")[2]
            if project == "config.json":
                body: bytes | None = json.dumps({"dl": f"{address}dl"}).encode()
            elif self.path.removeprefix("/index/") == names.index_path(project):
                body = index(project)
            else:
                body = None
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: thousands of lines would hide the result."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/index/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address
        server.shutdown()
