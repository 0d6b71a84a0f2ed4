"""A Kubernetes control plane on this machine: API server, etcd and some controllers, without any node.

Built once out of published Go modules into .cache; their hashes are pinned together (scripts/kube). It
listens on loopback, and what it holds is gone with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "scripts" / "kube"
CACHE = ROOT / ".cache" / "kube"
KUBECTL = Path(sys.executable).parent / "kubectl"
BUILD_SECONDS = 3600
READY_SECONDS = 120
CALL_SECONDS = 120
# The first two take away Jobs that have ended; the other makes each namespace's service account.
CONTROLLERS = "ttl-after-finished-controller,garbage-collector-controller,serviceaccount-controller"


class Missing(Exception):
    """There is no control plane here and none can be built; the message says why."""


def version() -> str:
    """Of Kubernetes, as scripts/kube/go.mod pins it: "1.34.4"."""
    found = re.search(r"^\tk8s\.io/kubernetes v([0-9.]+)$", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def program() -> Path:
    """Where the built program of these sources is, or would be."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum.sha256", "main.go"):
        digest.update((SOURCE / name).read_bytes())
    return CACHE / f"{version()}-{digest.hexdigest()[:16]}" / "kube"


def build() -> Path:
    """The program, built if it is not here yet. Raises `Missing` without Go, or with what Go said."""
    target = program()
    if target.exists():
        return target
    go = shutil.which("go")
    if go is None:
        raise Missing("no go here, 1.24 or newer, to build Kubernetes' API server with")
    major, minor, _ = version().split(".")
    known = {"gitVersion": f"v{version()}", "gitMajor": major, "gitMinor": minor}
    names = " ".join(f"-X k8s.io/component-base/version.{name}={text}" for name, text in known.items())
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as folder:
        sources = Path(folder)
        for each in SOURCE.iterdir():
            shutil.copyfile(each, sources / each.name)
        _go(go, sources, "mod", "tidy", mod="mod")
        digest = hashlib.sha256((sources / "go.sum").read_bytes()).hexdigest()
        if digest != (SOURCE / "go.sum.sha256").read_text().strip():
            raise Missing(f"the modules' hashes are not those that are pinned: go.sum has SHA256 {digest}")
        _go(go, sources, "build", "-ldflags", f"-s -w {names}", "-o", "kube", ".", mod="readonly")
        (sources / "kube").replace(target)
    for other in CACHE.iterdir():
        if other != target.parent:
            shutil.rmtree(other)
    return target


def _go(go: str, folder: Path, *words: str, mod: str) -> None:
    done = subprocess.run(  # noqa: S603 - the names are our own
        [go, *words],
        cwd=folder,
        env=os.environ | {"GOFLAGS": f"-mod={mod}", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if done.returncode:
        raise Missing(f"Kubernetes' API server could not be built: {done.stderr.strip()[-600:]}")


class ControlPlane:
    """A running one; `start` makes it."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """One command to its end, whatever it came to."""
        return subprocess.run(  # noqa: S603 - our own tool
            [str(KUBECTL), "--kubeconfig", str(self._config), *map(str, arguments)],
            input=stdin,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._config.parent)},
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
        )


@contextlib.contextmanager
def start(kube: Path, folder: Path) -> Iterator[ControlPlane]:
    """A control plane with nothing in it. Raises `RuntimeError`, with the end of the log, if it does not
    start."""
    etcd, peers, port = _free_ports(3)
    token, key, tokens = secrets.token_hex(16), folder / "key.pem", folder / "tokens.csv"
    key.write_bytes(subprocess.run([kube, "key"], check=True, capture_output=True).stdout)  # noqa: S603
    tokens.write_text(f"{token},admin,admin,system:masters\n")
    config, certificates = folder / "config", folder / "certificates"
    config.write_text(json.dumps(_config_of(port, token, certificates / "apiserver.crt")))
    stores = f"http://127.0.0.1:{etcd}"
    with contextlib.ExitStack() as running:
        running.enter_context(
            _run(folder, kube, "etcd", str(folder / "etcd"), stores, f"http://127.0.0.1:{peers}")
        )
        server = running.enter_context(
            _run(
                folder,
                kube,
                "apiserver",
                f"--etcd-servers={stores}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={certificates}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--service-cluster-ip-range=10.0.0.0/24",
            )
        )
        plane = ControlPlane(config)
        until = time.monotonic() + READY_SECONDS
        while (said := plane.kubectl("get", "--raw", "/readyz")).stdout != "ok":
            if server.poll() is not None or time.monotonic() > until:
                log = (folder / "apiserver.log").read_text()[-1500:]
                raise RuntimeError(f"the API server does not start: {said.stderr.strip()}\n{log}")
            time.sleep(0.3)
        running.enter_context(
            _run(
                folder,
                kube,
                "controllers",
                f"--kubeconfig={config}",
                f"--controllers={CONTROLLERS}",
                "--leader-elect=false",
                "--secure-port=0",
            )
        )
        yield plane


def _config_of(port: int, token: str, authority: Path) -> dict[str, object]:
    """A kubeconfig. The server's own certificate comes with the authority that signed it."""
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proof", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "proof", "context": {"cluster": "proof", "user": "admin"}}],
        "current-context": "proof",
    }


@contextlib.contextmanager
def _run(folder: Path, kube: Path, part: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{part}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [str(kube), part, *arguments], cwd=folder, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
