"""npm's own configuration (npm documentation, "config"), and the settings printed for npm, pnpm and yarn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from packageurl.contrib import purl2url

from shared.protocols.npm.clients import CLIENTS
from shared.protocols.roles.setup import Address, ClientHint, Machine, Setup, before


class NpmSetup(Setup):
    """npm, pnpm and yarn. Silence ends the wait of yarn 1 after 30 s (it tries again), of pnpm after 60, of
    npm after 5 min."""

    client_seconds: ClassVar[float] = 55.0
    certificates_variable: ClassVar[str] = "NPM_CONFIG_CAFILE"
    clients = CLIENTS

    def installs(self, project: str, version: str) -> tuple[ClientHint, ...]:
        wanted = f"{project}@{version}" if version else project
        return (
            ClientHint("npm", (f"npm install {wanted}",)),
            ClientHint("pnpm", (f"pnpm add {wanted}",)),
            ClientHint("yarn", (f"yarn add {wanted}",)),
        )

    def hints(self, address: Address) -> tuple[ClientHint, ...]:
        registry = f"{address.base}/npm/"
        yarn = [f"yarn config set npmRegistryServer {registry}"]
        if address.is_plain:  # yarn 4 asks over plain http only where it is told to
            yarn.append(f"yarn config set unsafeHttpWhitelist --json '[\"{address.host}\"]'")
        return (
            ClientHint("npm, pnpm, yarn 1, bun, deno", (f"npm config set registry {registry}",)),
            ClientHint("yarn 4", tuple(yarn)),
        )

    def public_registry(self) -> str:
        return before(purl2url.get_download_url("pkg:npm/name@1"), "/name/", "/")

    def configured_upstreams(self, machine: Machine) -> Iterator[tuple[str, str]]:
        """`registry`: the variable in any case, then the user's .npmrc."""
        for key, value in machine.environ.items():
            if key.lower() == "npm_config_registry" and value:
                yield value.strip(), key
        yield from _npmrc("registry", machine)

    def configured_certificates(self, machine: Machine) -> str:
        return next((value for value, _ in _npmrc("cafile", machine)), "")


def _npmrc(name: str, machine: Machine) -> Iterator[tuple[str, str]]:
    path = Path(machine.environ.get("NPM_CONFIG_USERCONFIG") or Path(machine.home, ".npmrc"))
    for line in machine.read(path).splitlines():
        key, _, value = line.partition("=")
        if key.strip() == name and value.strip():
            yield value.strip().strip("\"'"), f"npm configuration {path}"
