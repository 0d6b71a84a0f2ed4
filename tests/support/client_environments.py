"""Environments of real clients: nothing of this machine's own settings. Benches take them, too."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.stores import ROOT

CLIENTS = ROOT / ".cache" / "clients"
"""By `make client-tools`, a folder for each."""


def with_home(home: Path) -> dict[str, str]:
    """What every client needs, and a home of its own, which is made here: no cache or configuration is
    inherited."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "FAKEROOTKEY": "1",  # else yarn 1 as root writes the whole machine's configuration
    }


def of_node(registry: str) -> dict[str, str]:
    """Each npm client's own variable for the registry, and nothing that asks anyone else."""
    return {
        "npm_config_registry": registry,
        "NPM_CONFIG_REGISTRY": registry,  # of deno, which knows no other spelling
        "PNPM_CONFIG_REGISTRY": registry,  # of pnpm 12
        "npm_config_update_notifier": "false",
        "npm_config_fund": "false",
        "npm_config_audit": "false",
        "YARN_NPM_REGISTRY_SERVER": registry,
        "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
        "YARN_ENABLE_TELEMETRY": "0",
        "YARN_NODE_LINKER": "node-modules",
        "DENO_NO_UPDATE_CHECK": "1",
    }
