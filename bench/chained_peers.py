"""`python -m bench.chained_peers`: other caches with an Orchard as their upstream, as users chain them.

For devpi-server and proxpi (by pip) and Verdaccio (by npm), each with an Orchard of its own that is empty and
asks this machine's default registries: the same packages are installed directly, then through the peer with
both caches empty (cold), then with the peer's emptied (the Orchard is warm), then with both full. Prints the
seconds; exits 1 if an install failed or gave other files than the direct one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench import demo
from bench.harness import peers, processes
from bench.harness.table import print_rows

PYTHON = ("flask", "requests")
NODE = ("express", "semver")
Start = Callable[[Path, str], contextlib.AbstractContextManager[peers.Peer]]


class Chained(msgspec.Struct, frozen=True):
    """A peer, what it is told of an Orchard, and how a client installs through it."""

    name: str
    start: Start
    upstream: str  # mount of an Orchard
    index: str  # below the peer's address
    packages: tuple[str, ...]
    install: demo.Install


@contextlib.contextmanager
def verdaccio(work: Path, registry: str) -> Iterator[peers.Peer]:
    """Verdaccio with one uplink."""
    port = processes.free_port()
    work.mkdir(parents=True, exist_ok=True)
    proxied = {"access": "$all", "proxy": "up"}
    config = {  # YAML holds JSON
        "storage": str(work / "storage"),
        "uplinks": {"up": {"url": registry}},
        "packages": {"@*/*": proxied, "**": proxied},
        "log": {"type": "stdout", "format": "json", "level": "warn"},
    }
    (work / "config.yaml").write_text(json.dumps(config))
    command = [str(peers.NODE / "node_modules" / ".bin" / "verdaccio"), "--config", str(work / "config.yaml")]
    command += ["--listen", f"127.0.0.1:{port}"]
    with processes.running(command, log=work / "out.log", core=None) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/-/ping", process)
        yield peers.Peer("verdaccio", f"http://127.0.0.1:{port}", "/{project}", "")


CHAINS = (
    Chained("devpi", peers.devpi, "pypi/simple/", f"/{peers.DEVPI_INDEX}/+simple/", PYTHON, demo.pip),
    Chained("proxpi", peers.proxpi, "pypi/simple/", "/index/", PYTHON, demo.pip),
    Chained("verdaccio", verdaccio, "npm/", "/", NODE, demo.npm),
)


def main() -> int:
    """Install and print; 1 when something failed."""
    peers.install()
    chains = [each for each in CHAINS if each.name != "verdaccio" or peers.install_verdaccio()]
    rows: list[tuple[str, ...]] = [("peer", "directly", "both cold", "Orchard warm", "both warm", "files")]
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="orchard-chained-") as folder:
        for chain in chains:
            print(f"{chain.name} on Orchard …", flush=True)
            try:
                rows.append(_measured(Path(folder) / chain.name, chain, failures))
            except (subprocess.CalledProcessError, RuntimeError) as error:
                told = (getattr(error, "stderr", None) or b"").decode(errors="replace")
                failures.append(f"{chain.name}: {error}\n{told[-2000:]}")
    print()
    print_rows(rows)
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


def _measured(work: Path, chain: Chained, failures: list[str]) -> tuple[str, ...]:
    work.mkdir(parents=True)
    found = [_installed(work, chain, "")]
    orchard = demo.start(work)
    try:
        for emptied in ("first", "second"):
            with chain.start(work / emptied, orchard.index(chain.upstream)) as peer:
                found.append(_installed(work, chain, peer.base + chain.index))
                if emptied == "second":
                    found.append(_installed(work, chain, peer.base + chain.index))
    finally:
        processes.stop(orchard.process)
    digests = {digest for _, digest in found}
    if len(digests) > 1:
        failures.append(f"{chain.name}: other files than directly")
    same = "the same" if len(digests) == 1 else "DIFFER"
    return (chain.name, *(f"{seconds:.1f} s" for seconds, _ in found), same)


def _installed(work: Path, chain: Chained, index: str) -> tuple[float, str]:
    """Seconds of an install with an empty client cache, and a digest of its files."""
    for name in ("target", "client-cache"):
        shutil.rmtree(work / name, ignore_errors=True)
    started = time.perf_counter()
    chain.install(chain.packages, index, work / "target")
    took = time.perf_counter() - started
    return took, hashlib.sha256(demo.digest_of(work / "target").encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
