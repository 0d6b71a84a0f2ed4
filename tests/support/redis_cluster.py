"""A Redis Cluster of real processes on loopback: three masters, and a replica of each if wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import redis

from shared.redis.slots import SLOTS
from tests.support.gateway import free_port
from tests.support.orchard import wait_until
from tests.support.sentinel import PASSWORD, Server


class Nodes:
    """The running nodes."""

    def __init__(self, masters: list[Server], replicas: list[Server]) -> None:
        self.masters, self.replicas = masters, replicas

    @property
    def seeds(self) -> list[tuple[str, int]]:
        """Two of the masters: the rest is found through them."""
        return [("127.0.0.1", each.port) for each in self.masters[:2]]

    def settings(self) -> dict[str, str]:
        """Of a service whose cache this is."""
        addresses = ",".join(f"{host}:{port}" for host, port in self.seeds)
        return {"ORCHARD_REDIS_CLUSTER": addresses, "ORCHARD_REDIS_PASSWORD": PASSWORD}

    def keys(self) -> dict[int, set[str]]:
        """The names of the keys of each master, by its number."""
        found = {}
        for number, each in enumerate(self.masters):
            if each.process.poll() is None:
                with each.client() as client:
                    found[number] = {key.decode() for key in client.keys("*")}
        return found

    def move(self, slot: int, source: Server, target: Server) -> None:
        """Move a slot with its keys from one master to another, as `redis-cli --cluster reshard` does."""
        with source.client() as old, target.client() as new:
            source_id, target_id = (_id_of(each) for each in (old, new))
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
            keys = old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
            if keys:
                old.execute_command(
                    "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys
                )
            for client in (new, old):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def _id_of(client: redis.Redis) -> str:
    found = client.execute_command("CLUSTER", "MYID")
    return found.decode() if isinstance(found, bytes) else str(found)


@contextlib.contextmanager
def redis_cluster(folder: Path, *, replicas: bool = False) -> Iterator[Nodes]:
    """A cluster for the length of the block."""
    lines = [
        f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "maxmemory-policy allkeys-lru", 'save ""',
        "cluster-enabled yes", "cluster-node-timeout 1500", "repl-diskless-sync-delay 0",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        servers, buses = [], [free_port() for _ in range(6 if replicas else 3)]
        for number, bus in enumerate(buses):
            server = Server(folder, f"node-{number}", [*lines, f"cluster-port {bus}"])
            stack.callback(server.kill)
            server.wait_up()
            servers.append(server)
        masters, others = servers[:3], servers[3:]
        bounds = [number * SLOTS // 3 for number in range(4)]
        for server, first, after in zip(masters, bounds, bounds[1:], strict=False):
            with server.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        for server in servers[1:]:
            with server.client() as client:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port, buses[0])
        wait_until(
            lambda: all(_knows(each, len(servers)) for each in servers), seconds=30, what="the cluster"
        )
        for master, replica in zip(masters, others, strict=False):
            with master.client() as client, replica.client() as other:
                other.execute_command("CLUSTER", "REPLICATE", _id_of(client))
        for replica in others:
            wait_until(lambda replica=replica: _follows(replica), seconds=30, what="a replica")  # type: ignore[misc]
        yield Nodes(masters, others)


def _knows(server: Server, nodes: int) -> bool:
    with server.client() as client:
        found = client.execute_command("CLUSTER", "INFO")
    if not isinstance(found, dict):
        found = dict(line.split(":", 1) for line in found.decode().split())
    names = ("cluster_state", "cluster_known_nodes", "cluster_slots_ok")
    return [str(found[name]) for name in names] == ["ok", str(nodes), str(SLOTS)]


def _follows(server: Server) -> bool:
    with server.client() as client:
        found = client.info("replication")
    return found["role"] == "slave" and found["master_link_status"] == "up"
