"""Whose certificates are believed: the operator's word, else the system's store and certifi's list."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import certifi
import truststore

from shared.errors import ConfigurationError
from shared.logs import get_logger

log = get_logger()

# Each stands for all that is believed, as it does for the programs that made it known.
INSTEAD = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Of one client alone (pip, npm, Node.js): believed beside the rest, as registries of others are asked too.
BESIDE = ("PIP_CERT", "NPM_CONFIG_CAFILE", "NODE_EXTRA_CA_CERTS")


def ca_context(setting: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    """A client context that believes ORCHARD_CA_FILE (`setting`) alone; else what `INSTEAD` name; else the
    system's store and certifi's list. What `BESIDE` name is added to the last two.

    A file holds PEM certificates, a folder is one that `openssl rehash` made. Raises `ConfigurationError`
    naming the variable whose certificates cannot be loaded.
    """
    context = _context(setting, environ)
    if setting:
        return context
    for name, path in _named(BESIDE, environ):
        try:
            _load(context, name, path)
        except ConfigurationError as error:  # that client's business: it may not be in use here at all
            log.warning("certificates_not_loaded", variable=name, error=error.message)
    return context


def _context(setting: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    instead = [("ORCHARD_CA_FILE", setting)] if setting else _named(INSTEAD, environ)
    if instead:
        # The file and the folder of OpenSSL go together; of the others the first counts.
        openssl = [pair for pair in instead if pair[0].startswith("SSL_")]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name, path in openssl or instead[:1]:
            _load(context, name, path)
        return context
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=certifi.where())
    return context


def _named(names: tuple[str, ...], environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The variables that are set, in the order of `names`; npm takes its own in any case."""
    upper = {key.upper() if key.lower().startswith("npm_config_") else key: environ[key] for key in environ}
    return [(name, upper[name]) for name in names if upper.get(name)]


def _load(context: ssl.SSLContext, name: str, path: str) -> None:
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"{name}: cannot load certificates ({error})") from None
