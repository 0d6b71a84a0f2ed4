"""The default upstream when none is set: the one that this machine's own client is configured for, else the
ecosystem's public registry. A protocol's `Setup` names both; here they are looked up and checked.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from shared.errors import ConfigurationError
from shared.protocols import find_protocol, protocol_named
from shared.protocols.roles.setup import Machine
from shared.settings import upstream_variable
from shared.sources.urls import is_loopback


def default_upstream(
    protocol: str, environ: Mapping[str, str], own_port: int, *, prefix: str = sys.prefix
) -> tuple[str, str]:
    """URL (it may hold credentials) and where it was found, for the banner.

    `own_port` is this Orchard's: a client that is already set up to use it would make a loop.
    `prefix` is the Python environment whose pip configuration counts. Raises `ConfigurationError`
    naming the variable to set if nothing is known.
    """
    known = find_protocol(protocol)
    url = ""
    if known is not None:
        for url, origin in known.setup.configured_upstreams(_machine(environ, prefix)):
            if url.startswith(("http://", "https://")) and not _is_this_orchard(url, known.mount, own_port):
                return url, origin
        url = known.setup.public_registry()
    if not url:
        raise ConfigurationError(f"{upstream_variable(protocol)}: not set, and no default is known")
    return url, "the public registry"


def client_certificates(protocol: str, environ: Mapping[str, str], *, prefix: str = sys.prefix) -> str:
    """The file of certificate authorities in the configuration files of this machine's client (pip's `cert`,
    npm's `cafile`); "" without one."""
    found = protocol_named(protocol).setup.configured_certificates(_machine(environ, prefix))
    home = environ.get("HOME", "")
    return f"{home}{found[1:]}" if found.startswith("~/") and home else found


def _machine(environ: Mapping[str, str], prefix: str) -> Machine:
    return Machine(environ, prefix, _read)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""  # absent or broken: that client's business, not ours


def _is_this_orchard(url: str, mount: str, own_port: int) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    if not is_loopback(host) and host != socket.gethostname().lower():
        return False  # another machine's Orchard is a good upstream; Via tells a loop
    return port == own_port or parts.path.startswith(mount)
