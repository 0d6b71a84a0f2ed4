"""The protocols that this Orchard speaks: one explicit tuple. A new one is an import and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.protocols.base import PackageProxyBase
from shared.protocols.cargo import CargoProxy
from shared.protocols.maven import MavenProxy
from shared.protocols.npm import NpmProxy
from shared.protocols.pypi import PyPIProxy

PROTOCOLS: tuple[PackageProxyBase, ...] = (PyPIProxy(), NpmProxy(), MavenProxy(), CargoProxy())
_BY_NAME = {protocol.name: protocol for protocol in PROTOCOLS}


def load(roles: Callable[[PackageProxyBase], object]) -> None:
    """Import these roles of all protocols now, or the first request that needs them waits for it.

    `roles` looks at them: `lambda protocol: (protocol.grammar, protocol.pages)`.
    """
    for protocol in PROTOCOLS:
        roles(protocol)


def find_protocol(name: str) -> PackageProxyBase | None:
    """The protocol of this name, None for one that is not spoken (any more)."""
    return _BY_NAME.get(name)


def protocol_named(name: str) -> PackageProxyBase:
    """The protocol of this name ("pypi"); raises KeyError for one that is not spoken."""
    return _BY_NAME[name]


def named_alike(protocol: str, name: str) -> str:
    """What all names of a protocol have in common that its clients take for the same one; see
    `Names.named_alike`."""
    found = _BY_NAME.get(protocol)
    return name if found is None else found.names.named_alike(name)


def version_key(protocol: str, version: str) -> Any:
    """See `Names.version_key`."""
    found = _BY_NAME.get(protocol)
    return None if found is None else found.names.version_key(version)


def attests(protocol: str) -> bool:
    """See `Names.attests`."""
    found = _BY_NAME.get(protocol)
    return found is not None and found.names.attests


def spoken() -> dict[str, float]:
    """The names of all protocols, as `load_settings` takes them: with the seconds that their clients wait."""
    return {protocol.name: protocol.setup.client_seconds for protocol in PROTOCOLS}
