"""How cargo is set up, what this machine's is set up for, and where the public index lies."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from packageurl.contrib import purl2url

from shared.protocols.cargo.clients import CLIENTS
from shared.protocols.roles.setup import Address, ClientHint, Machine, Setup

_SPARSE = "sparse+"
_MOST_REPLACEMENTS = 10
_BUILT_IN = "crates-io"  # cargo's own name of its default source


class CargoSetup(Setup):
    """Cargo gives up on a silent server after 30 s (`http.timeout`), and tries four times."""

    client_seconds: ClassVar[float] = 25.0
    certificates_variable: ClassVar[str] = "CARGO_HTTP_CAINFO"
    clients = CLIENTS

    def installs(self, project: str, version: str) -> tuple[ClientHint, ...]:
        return (
            ClientHint("cargo", (f"cargo add {project}@{version}" if version else f"cargo add {project}",)),
        )

    def hints(self, address: Address) -> tuple[ClientHint, ...]:
        lines = (
            f"[source.{_BUILT_IN}]",
            'replace-with = "orchard"',
            "[registries.orchard]",
            f'index = "{_SPARSE}{address.base}/cargo/"',
        )
        return (ClientHint("cargo", lines, "in ~/.cargo/config.toml:"),)

    def public_registry(self) -> str:
        # Its sparse index has a host of its own below the one of its pages.
        host = urlsplit(purl2url.get_repo_url("pkg:cargo/name@1") or "").hostname
        return f"https://index.{host}/" if host else ""

    def configured_upstreams(self, machine: Machine) -> Iterator[tuple[str, str]]:
        """What stands in for the default source ("Source Replacement"), if it is a sparse index."""
        for path, config in _configurations(machine):
            name = _BUILT_IN
            for _ in range(_MOST_REPLACEMENTS):
                source = _at(config, "source", name)
                name, url = source.get("replace-with", ""), source.get("registry", "")
                if isinstance(url, str) and url.startswith(_SPARSE):
                    yield url.removeprefix(_SPARSE), f"cargo configuration {path}"
                if not isinstance(name, str) or not name:
                    break
                variable = f"CARGO_REGISTRIES_{name.upper().replace('-', '_')}_INDEX"
                index = machine.environ.get(variable) or _at(config, "registries", name).get("index", "")
                if isinstance(index, str) and index.startswith(_SPARSE):
                    yield index.removeprefix(_SPARSE), f"cargo configuration {path}"

    def configured_certificates(self, machine: Machine) -> str:
        told = (_at(config, "http").get("cainfo", "") for _, config in _configurations(machine))
        return next((path for path in told if isinstance(path, str) and path), "")


def _configurations(machine: Machine) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The user's file; of the two names that it may have cargo prefers the older."""
    folder = Path(machine.environ.get("CARGO_HOME") or Path(machine.home, ".cargo"))
    for name in ("config", "config.toml"):
        try:
            config = tomllib.loads(machine.read(folder / name))
        except ValueError:
            config = {}  # broken: cargo's business, not ours
        if config:
            yield folder / name, config
            return


def _at(config: dict[str, Any], *path: str) -> dict[str, Any]:
    found: Any = config
    for key in path:
        found = found.get(key, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}
