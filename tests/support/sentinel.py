"""A Redis master, its replica and the Sentinels that watch them: real processes, real failovers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import redis

from services.standalone.redis_server import server_binary
from tests.support.freezing import wait_until_frozen
from tests.support.gateway import free_port

PASSWORD = "only-for-this-test"
SENTINEL_PASSWORD = "only-for-these-sentinels"


class Server:
    """One server process, with or without --sentinel."""

    def __init__(self, folder: Path, name: str, lines: list[str], *, sentinel: bool = False) -> None:
        self.port = free_port()
        self.password = SENTINEL_PASSWORD if sentinel else PASSWORD
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        conf = self.folder / "redis.conf"
        conf.write_text(
            "\n".join(["bind 127.0.0.1", f"port {self.port}", f"dir {self.folder}", *lines]) + "\n"
        )
        with (self.folder / "log").open("wb") as log:
            command = [str(server_binary()), str(conf), *(["--sentinel"] if sentinel else [])]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def client(self) -> redis.Redis:
        """A plain client of this very server."""
        return redis.Redis(port=self.port, password=self.password, socket_timeout=2)

    def wait_up(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + 10
        while True:
            with self.client() as client, contextlib.suppress(redis.RedisError):
                if client.ping():
                    return
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)
            if number == signal.SIGSTOP:
                wait_until_frozen([self.process.pid])

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class Watched:
    """A master with one replica and its Sentinels."""

    def __init__(self, folder: Path, role: Literal["cache", "queue"], sentinels: int) -> None:
        self.name = f"orchard-{role}"
        policy = "allkeys-lru" if role == "cache" else "noeviction"
        lines = [
            f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", f"maxmemory-policy {policy}", 'save ""',
            "repl-diskless-sync yes", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1",
        ]  # fmt: skip
        self.master = Server(folder, f"{role}-a", lines)
        self.replica = Server(folder, f"{role}-b", [*lines, f"replicaof 127.0.0.1 {self.master.port}"])
        for server in (self.master, self.replica):
            server.wait_up()
        self._until(lambda: self._replicas() == 1, "the replica follows")
        quorum = sentinels // 2 + 1
        self.sentinels = [
            Server(
                folder,
                f"{role}-sentinel-{number}",
                [
                    f"requirepass {SENTINEL_PASSWORD}",
                    f"sentinel monitor {self.name} 127.0.0.1 {self.master.port} {quorum}",
                    f"sentinel auth-pass {self.name} {PASSWORD}",
                    f"sentinel down-after-milliseconds {self.name} 600",
                    f"sentinel failover-timeout {self.name} 3000",
                ],
                sentinel=True,
            )
            for number in range(sentinels)
        ]
        for sentinel in self.sentinels:
            sentinel.wait_up()
        self._until(self._all_know, "all Sentinels know the replica and one another")

    def settings(self, *, prefix: str) -> dict[str, str]:
        """ORCHARD_* variables of this role; `prefix` REDIS or QUEUE_REDIS."""
        return {
            f"ORCHARD_{prefix}_PASSWORD": PASSWORD,
            f"ORCHARD_{prefix}_SENTINELS": ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels),
            f"ORCHARD_{prefix}_SENTINEL_MASTER": self.name,
            f"ORCHARD_{prefix}_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }

    def wait_replicated(self) -> None:
        """Return when the replica has all that the master has."""
        with self.master.client() as master:
            self._until(lambda: self._offset(master) == self._offset_of_replica(), "the replica has it all")

    def wait_failed_over(self) -> None:
        """Return when the Sentinels name the replica as master, and it is one."""
        with self.replica.client() as replica:
            self._until(
                lambda: (
                    all(self._named(each) == self.replica.port for each in self.sentinels)
                    and replica.role()[0] == b"master"
                ),
                "the replica has become the master",
                seconds=30,
            )

    def close(self) -> None:
        for server in [*self.sentinels, self.replica, self.master]:
            server.kill()

    def _named(self, sentinel: Server) -> int:
        with sentinel.client() as client:
            return int(client.sentinel_get_master_addr_by_name(self.name)[1])  # type: ignore[index]

    def _replicas(self) -> int:
        with self.master.client() as master:
            return len([each for each in master.role()[2] if int(each[2]) >= 0])

    @staticmethod
    def _offset(client: redis.Redis) -> int:
        return int(client.info("replication")["master_repl_offset"])  # type: ignore[index]

    def _offset_of_replica(self) -> int:
        with self.replica.client() as replica:
            return int(replica.info("replication")["slave_repl_offset"])  # type: ignore[index]

    def _all_know(self) -> bool:
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                state = client.sentinel_master(self.name)
            others = state["num-other-sentinels"]  # type: ignore[index]
            if state["num-slaves"] != 1 or others != len(self.sentinels) - 1:  # type: ignore[index]
                return False
        return True

    @staticmethod
    def _until(condition: object, what: str, *, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.05)


@contextlib.contextmanager
def watched(folder: Path, role: Literal["cache", "queue"], *, sentinels: int = 3) -> Iterator[Watched]:
    """One role under Sentinel for the length of the block."""
    running = Watched(folder, role, sentinels)
    try:
        yield running
    finally:
        running.close()
