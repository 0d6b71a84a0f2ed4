"""Trust for tests: this machine's authorities are for the clients of real registries alone.

Each file of two hundred certificates takes 30 ms of a core to read, and a fetcher reads up to eight: a third
of what its tests did. An Orchard under test speaks with loopback, and trusts one that signs nothing.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from services.fetcher.http import manager
from shared.http.trust import BESIDE, INSTEAD, ca_context
from shared.protocols import PROTOCOLS

AUTHORITY = Path(__file__).with_name("authority.pem")
_NAMES = (*INSTEAD, *BESIDE, *filter(None, (each.setup.certificates_variable for each in PROTOCOLS)))
_HOST = re.compile(r"https?://(?:[^/\s]*@)?(\[[^]]*\]|[^/:\s,]+)")
_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
_MACHINE = {name: os.environ[name] for name in _NAMES if name in os.environ}


def of_tests(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without what this machine says of authorities; what a test says or takes away counts.

    Unless a setting of Orchard names an address elsewhere: what clients need beside the packages of a test
    comes from there.
    """
    settings = "\n".join(value for name, value in environ.items() if name.startswith("ORCHARD_"))
    if not set(_HOST.findall(settings)) <= _LOOPBACK:
        return dict(environ)
    kept = {name: value for name, value in environ.items() if _MACHINE.get(name) != value}
    as_found = {name: environ[name] for name in _NAMES if name in environ} == _MACHINE
    return kept | {"SSL_CERT_FILE": str(AUTHORITY)} if as_found else kept


def _of_tests(setting: str, environ: Mapping[str, str], *, clients: tuple[str, ...] = ()) -> ssl.SSLContext:
    return ca_context(setting, of_tests(environ), clients=clients)


def pytest_configure() -> None:
    """In the fetchers that run in a process of tests."""
    vars(manager)["ca_context"] = _of_tests
