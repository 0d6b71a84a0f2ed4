"""The protocols that this Orchard speaks: one explicit tuple. A new protocol is one line here."""

from __future__ import annotations

from shared.protocols.base import PackageProxyBase
from shared.protocols.maven.proxy import MavenProxy
from shared.protocols.npm.proxy import NpmProxy
from shared.protocols.pypi.proxy import PyPIProxy

PROTOCOLS: tuple[PackageProxyBase, ...] = (PyPIProxy(), NpmProxy(), MavenProxy())


def protocol_named(name: str) -> PackageProxyBase:
    """The protocol of this name ("pypi"); raises KeyError for one that is not spoken."""
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    raise KeyError(name)
