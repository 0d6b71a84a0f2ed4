"""The peers we measure against, each as its own documentation says to run it, on one core."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.harness import nginx, processes

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".work" / "peers"
NODE = ROOT / ".work" / "verdaccio"
DEVPI_INDEX = "root/bench"  # user and name: a new server has the user root alone
REQUIREMENTS = ROOT / "requirements-peers.txt"


class Peer(msgspec.Struct, frozen=True):
    """A running server: how it spells a page and a file."""

    name: str
    base: str
    page: str  # with {project}
    file: str  # with {project} and {filename}

    def page_url(self, project: str) -> str:
        return self.base + self.page.format(project=project)

    def file_url(self, project: str, filename: str) -> str:
        return self.base + self.file.format(project=project, filename=filename)


def install() -> None:
    """The peers' own virtual environment, once."""
    stamp = VENV / "installed"
    if stamp.exists() and stamp.stat().st_mtime > REQUIREMENTS.stat().st_mtime:
        return
    print("  installing devpi-server and proxpi (once) …", flush=True)
    subprocess.run(["python3", "-m", "venv", str(VENV)], check=True)
    command = [
        str(VENV / "bin" / "pip"),
        "install",
        "-q",
        "--require-hashes",
        "--no-deps",
        "-r",
        str(REQUIREMENTS),
    ]
    subprocess.run(command, check=True)
    stamp.touch()


def install_verdaccio() -> bool:
    """Verdaccio, once; whether it is there."""
    if (NODE / "node_modules" / ".bin" / "verdaccio").exists():
        return True
    if shutil.which("npm") is None:
        print("  npm is not installed: Verdaccio is left out", flush=True)
        return False
    print("  installing Verdaccio (once) …", flush=True)
    NODE.mkdir(parents=True, exist_ok=True)
    # It names a dependency by a tag, which registries that serve a part of the public one lack.
    overrides = {"node-fetch": "2.6.7"}
    about = {
        "name": "peers",
        "private": True,
        "dependencies": {"verdaccio": "^6.0.0"},
        "overrides": overrides,
    }
    (NODE / "package.json").write_text(json.dumps(about))
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=NODE, check=True)
    return True


@contextlib.contextmanager
def upstream(work: Path, root: Path, *, limit_rate: str = "0") -> Iterator[Peer]:
    """The static registry on core 1, where the load is made."""
    port = processes.free_port()
    config = nginx.upstream_config(work, root=root, port=port, limit_rate=limit_rate)
    command = [_nginx(), "-c", str(config), "-p", str(work)]
    with processes.running(command, log=work / "out.log", core=processes.CLIENT_CORE) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/simple/small/", process)
        yield Peer("upstream", f"http://127.0.0.1:{port}", "/simple/{project}/", "/files/{filename}")


@contextlib.contextmanager
def nginx_cache(work: Path, upstream_port: int) -> Iterator[Peer]:
    """nginx proxy_cache with cache_lock."""
    port = processes.free_port()
    config = nginx.cache_config(work, port=port, upstream_port=upstream_port)
    with processes.running([_nginx(), "-c", str(config), "-p", str(work)], log=work / "out.log") as process:
        processes.wait_http(f"http://127.0.0.1:{port}/simple/small/", process)
        yield Peer("nginx", f"http://127.0.0.1:{port}", "/simple/{project}/", "/files/{filename}")


@contextlib.contextmanager
def proxpi(work: Path, index_url: str) -> Iterator[Peer]:
    """proxpi under gunicorn with threads, its download time-out raised so that it serves files itself."""
    port = processes.free_port()
    env = {
        **os.environ,
        "PROXPI_INDEX_URL": index_url,
        "PROXPI_CACHE_DIR": str(work / "cache"),
        "PROXPI_DOWNLOAD_TIMEOUT": "60",
    }
    (work / "cache").mkdir(parents=True, exist_ok=True)
    command = [str(VENV / "bin" / "gunicorn"), "--workers", "1", "--threads", "8"]
    command += [
        "--bind",
        f"127.0.0.1:{port}",
        "--access-logfile",
        str(work / "access.log"),
        "proxpi.server:app",
    ]
    with processes.running(command, log=work / "out.log", env=env) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/health", process)
        yield Peer("proxpi", f"http://127.0.0.1:{port}", "/index/{project}/", "/index/{project}/{filename}")


@contextlib.contextmanager
def devpi(work: Path, index_url: str) -> Iterator[Peer]:
    """devpi-server with one mirror index of the upstream."""
    port = processes.free_port()
    data = work / "server"
    init = [
        str(VENV / "bin" / "devpi-init"),
        "--serverdir",
        str(data),
        "--no-root-pypi",
        "--root-passwd",
        "bench",
    ]
    work.mkdir(parents=True, exist_ok=True)
    with (work / "init.log").open("ab") as output:
        subprocess.run(init, check=True, stdout=output, stderr=output)
    command = [
        str(VENV / "bin" / "devpi-server"),
        "--serverdir",
        str(data),
        "--port",
        str(port),
        "--offline-mode",
    ]
    command.remove("--offline-mode")
    with processes.running(command, log=work / "out.log") as process:
        base = f"http://127.0.0.1:{port}"
        processes.wait_http(f"{base}/+api", process)
        _make_mirror(base, index_url)
        yield Peer("devpi", base, f"/{DEVPI_INDEX}/+simple/{{project}}/", "")


def _make_mirror(base: str, index_url: str) -> None:
    """Log in as root and create the mirror index (devpi's JSON API)."""
    import base64
    import urllib.request

    def call(method: str, path: str, body: dict[str, object], auth: str = "") -> dict[str, object]:
        request = urllib.request.Request(base + path, json.dumps(body).encode(), method=method)
        request.add_header("Content-Type", "application/json")
        request.add_header("Accept", "application/json")
        if auth:
            request.add_header("X-Devpi-Auth", base64.b64encode(auth.encode()).decode())
        with urllib.request.urlopen(request, timeout=20) as answer:
            return dict(json.loads(answer.read()))

    result = call("POST", "/+login", {"user": "root", "password": "bench"})["result"]
    auth = f"root:{result['password']}"  # type: ignore[index]
    call(
        "PUT",
        f"/{DEVPI_INDEX}",
        {
            "type": "mirror",
            "mirror_url": index_url,
            "mirror_use_external_urls": False,
            "mirror_no_project_list": True,
        },
        auth,
    )


def _nginx() -> str:
    found = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(found).exists():
        raise SystemExit("make bench compares against nginx: install Debian's packages nginx and wrk first")
    return found
