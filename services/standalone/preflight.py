"""Checks before anything is started: ports, each fault one line that names its variable."""

from __future__ import annotations

import errno
import socket

from shared.errors import ConfigurationError
from shared.settings import Settings


def check_ports(settings: Settings, gateways: int) -> None:
    """Raises `ConfigurationError` if a gateway could not listen where it should."""
    if settings.port + gateways - 1 > 65535:
        raise ConfigurationError(f"ORCHARD_PORT: {gateways} gateways need ports above {settings.port}")
    for port in range(settings.port, settings.port + gateways):
        _check(settings.host, port)


def _check(host: str, port: int) -> None:
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"ORCHARD_HOST: {host!r} is no address of this machine") from error
    try:
        with socket.socket(family, kind, number) as probe:
            # As the server does: a port in TIME_WAIT is free, one that somebody listens on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except PermissionError as error:
        raise ConfigurationError(
            f"ORCHARD_PORT: port {port} needs a privilege; choose one over 1023"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"ORCHARD_PORT: port {port} on {host} is already taken by another program"
            ) from error
        raise ConfigurationError(f"ORCHARD_HOST: cannot listen on {host}: {error.strerror}") from error
