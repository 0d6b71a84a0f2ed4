"""The Orchard under test: a whole standalone, its processes, its stores, and ways to harm them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import httpx
import redis

from services.standalone.postgres import USER
from tests.support.orchard import free_port
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

PARTS = ("gateway", "fetcher", "extractor", "redis-cache", "redis-queue", "postgres")
START_SECONDS = 60.0


class System:
    """`python -m services.standalone` on a folder of its own."""

    def __init__(self, folder: Path, upstream: Upstream, *, ttl: int = 8, offline: bool = False) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.clock = folder / "clock"
        self.clock.write_bytes(bytes(8))
        self._output = folder / "standalone.log"
        self._shim = self._build_shim()
        self._settings = {
            "ORCHARD_PORT": str(self.port),
            "ORCHARD_DATA_DIR": str(self.data),
            "ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/",
            "ORCHARD_NPM_UPSTREAM": f"{upstream.url}/npm/",
            "ORCHARD_MAVEN_UPSTREAM": f"{upstream.url}/maven/",
            "ORCHARD_CARGO_UPSTREAM": f"{upstream.url}/cargo/",
            "ORCHARD_CACHE_TTL_INDEX": str(ttl),
            "ORCHARD_CACHE_TTL_NEGATIVE": "5",
        }
        self.offline = offline
        self._process: subprocess.Popen[bytes] | None = None

    # --- life ---------------------------------------------------------------------------------------

    def start(self) -> float:
        """Seconds until it was ready. Raises `AssertionError` with the log's end."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
        environment |= self._settings | {"ORCHARD_OFFLINE": "true" if self.offline else "false"}
        if self._shim is not None:
            environment |= {"LD_PRELOAD": str(self._shim), "SOAK_CLOCK": str(self.clock)}
        began = time.monotonic()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.standalone"],
                cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        while time.monotonic() - began < START_SECONDS and self._process.poll() is None:
            if self.is_ready():
                return time.monotonic() - began
            time.sleep(0.1)
        raise AssertionError(f"Orchard did not start:\n{self._output.read_text()[-3000:]}")

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.base}/health/ready", timeout=2, trust_env=False).status_code == 200
        return False

    def stop(self) -> None:
        """As an operator stops it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.cut_power()

    def cut_power(self) -> None:
        """Everything is gone at once."""
        pids = [self.supervisor, *(pid for part in PARTS for pid in self.pids(part))]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        until = time.monotonic() + 10
        while any(self.pids(part) for part in PARTS) and time.monotonic() < until:
            time.sleep(0.05)

    @property
    def supervisor(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pids(self, part: str) -> list[int]:
        """Living processes of a part; of PostgreSQL the first is the postmaster."""
        if part == "postgres":
            return self._postgres_pids()
        if part.startswith("redis-"):
            with contextlib.suppress(OSError):
                title = f":{(self.data / part / 'port').read_text().strip()}".encode()
                return [pid for pid, words in _processes() if b"valkey-server" in words and title in words]
            return []
        mine, module = f"ORCHARD_DATA_DIR={self.data}\0".encode(), f"services.{part}".encode()
        return [pid for pid, words in _processes() if module in words and mine in _read(pid, "environ")]

    def _postgres_pids(self) -> list[int]:
        try:
            postmaster = int(next(self.data.glob("postgres/*/postmaster.pid")).read_text().split()[0])
        except (OSError, StopIteration, ValueError, IndexError):
            return []
        if b"postgres" not in _read(postmaster, "cmdline"):
            return []
        return [postmaster, *(pid for pid, _ in _processes() if _parent(pid) == postmaster)]

    def signal(self, part: str, number: int) -> None:
        """To every process of a part."""
        for pid in self.pids(part):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    # --- stores -------------------------------------------------------------------------------------

    def redis(self, role: str) -> redis.Redis:
        """A client of `cache` or `queue`; close it."""
        folder = self.data / f"redis-{role}"
        return redis.Redis(
            port=int((folder / "port").read_text()), password=(folder / "password").read_text().strip(),
            socket_timeout=5,
        )  # fmt: skip

    async def sql(self, statement: str) -> list[asyncpg.Record]:
        """Run one statement in the embedded database."""
        folder = self.data / "postgres"
        password = (folder / "password").read_text().strip()
        connection = await asyncpg.connect(
            host="127.0.0.1", port=int((folder / "port").read_text()), user=USER, password=password,
            database=USER, timeout=10,
        )  # fmt: skip
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    def objects(self) -> list[Path]:
        """Files of stored artifacts."""
        folder = self.data / "objects" / "artifacts"
        return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []

    # --- figures ------------------------------------------------------------------------------------

    def memory(self) -> dict[str, int]:
        """MB of each part's processes together."""
        return {part: sum(_resident(pid) for pid in self.pids(part)) // 2**20 for part in PARTS}

    def leftovers(self) -> list[str]:
        """What an idle Orchard must not have: spools, half-written objects, claims, ready jobs."""
        found = [
            f"{path.relative_to(self.data)}"
            for pattern in ("**/spool/*", "**/*.incoming", "**/.incoming/*")
            for path in self.data.glob(pattern)
            if path.is_file()
        ]
        with contextlib.closing(self.redis("queue")) as queue:
            found += [key.decode() for key in queue.scan_iter("orchard:claim:*")]
        return found

    # --- clock --------------------------------------------------------------------------------------

    @property
    def has_clock(self) -> bool:
        """Whether the wall clock can be moved (needs a C compiler)."""
        return self._shim is not None

    def move_clock(self, seconds: int) -> None:
        """The wall clock of all its processes, from now on; their monotonic clocks go on."""
        with self.clock.open("r+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))

    def _build_shim(self) -> Path | None:
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        target = self.folder / "clock.so"
        source = Path(__file__).parent / "clock.c"
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(target), str(source), "-ldl"]
        done = subprocess.run(command, capture_output=True)
        return target if done.returncode == 0 else None


def _processes() -> list[tuple[int, bytes]]:
    """Every living process with its command line."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [(pid, words) for pid in found if (words := _read(pid, "cmdline"))]  # a zombie has none


def _read(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _resident(pid: int) -> int:
    """Bytes, each shared page by its share (PostgreSQL's processes all map the same buffers)."""
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0
