"""Trusted certificate authorities: the operator's setting, else the system's store and certifi's list."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import certifi
import truststore

from shared.errors import ConfigurationError
from shared.telemetry.logs import get_logger

log = get_logger()

# Each replaces all trusted authorities, as it does for the programs that introduced it.
INSTEAD = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Of Node.js: believed beside the rest, as are those of protocols' clients.
BESIDE = ("NODE_EXTRA_CA_CERTS",)


def ca_context(setting: str, environ: Mapping[str, str], *, clients: tuple[str, ...] = ()) -> ssl.SSLContext:
    """A client context that trusts ORCHARD_CA_FILE (`setting`) alone; else what `INSTEAD` name; else the
    system's store and certifi's list. What `BESIDE` and `clients` name is added to the last two: variables of
    one client each, for registries of its own.

    A file holds PEM certificates, a folder is one that `openssl rehash` made. Raises `ConfigurationError`
    naming the variable whose certificates cannot be loaded.
    """
    context = _context(setting, environ)
    if setting:
        return context
    for name, path in _named((*clients, *BESIDE), environ):
        try:
            _load(context, name, path)
        except ConfigurationError as error:  # that client's business: it may not be in use here at all
            log.warning("certificates_not_loaded", variable=name, error=error.message)
    return context


def trusted_by(setting: str, environ: Mapping[str, str], *, clients: tuple[str, ...] = ()) -> str:
    """In words, what `ca_context` trusts."""
    if setting:
        return f"ORCHARD_CA_FILE ({setting}) alone"
    instead = _named(INSTEAD, environ)
    openssl = [pair for pair in instead if pair[0].startswith("SSL_")]
    first = [f"{name} ({path})" for name, path in openssl or instead[:1]]
    beside = [f"{name} ({path})" for name, path in _named((*clients, *BESIDE), environ)]
    return ", ".join([*(first or ["the system's store and certifi's list"]), *beside])


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
    """The variables that are set, in the order of `names`; some clients take theirs in any case."""
    upper = {key.upper(): value for key, value in environ.items()} | dict(environ)
    return [(name, upper[name]) for name in names if upper.get(name)]


def _load(context: ssl.SSLContext, name: str, path: str) -> None:
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"{name}: cannot load certificates of {path} ({error})") from None
