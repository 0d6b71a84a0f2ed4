"""Which upstream a standalone Orchard uses when none is set, for the banner and for its services."""

from __future__ import annotations

from collections.abc import Mapping

from services.standalone.banner import Upstream
from shared.defaults import client_certificates, default_upstream
from shared.errors import ConfigurationError
from shared.protocols import PROTOCOLS
from shared.settings import Settings, variable
from shared.source_urls import split_credentials

# Where a fetcher looks for them (shared/clients/http_trust.py).
_CERTIFICATES = {"pypi": "PIP_CERT", "npm": "NPM_CONFIG_CAFILE"}


def choose_upstreams(settings: Settings, environ: Mapping[str, str]) -> tuple[list[Upstream], dict[str, str]]:
    """What the banner shows, and the variables that hand the same choice to every service.

    The choice is made once, here: services started later must not find another one. Raises
    `ConfigurationError` if none is set and none is known, or one that is set cannot be.
    """
    shown: list[Upstream] = []
    variables: dict[str, str] = {}
    for protocol in (each.name for each in PROTOCOLS):
        field = f"{protocol}_upstream"
        if field not in settings.__struct_fields__:
            continue  # its sources are rows only
        name = variable(field)
        given: tuple[str, ...] = getattr(settings, field)
        if given:
            for address in given:  # a slip is told before anything is started
                split_credentials(address, name)
            shown.append(Upstream(protocol, given, name))
            continue
        try:
            url, origin = default_upstream(protocol, environ, settings.port)
        except ConfigurationError:
            if settings.offline:  # none will be asked
                continue
            raise
        shown.append(Upstream(protocol, (url,), origin))
        variables[name] = url
        certificates = _CERTIFICATES.get(protocol, "")
        if certificates and not environ.get(certificates):  # its index is believed by what it believes
            found = client_certificates(protocol, environ)
            if found:
                variables[certificates] = found
    return shown, variables
