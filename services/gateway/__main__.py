"""`python -m services.gateway`: check the settings, then serve with granian."""

from __future__ import annotations

import argparse
import errno
import math
import socket
import sys
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from services.gateway.http.sockets import MOST_CONNECTIONS, connections_for
from shared.access.exposure import check_exposure
from shared.errors import ConfigurationError
from shared.protocols import spoken
from shared.settings import load_settings
from shared.telemetry.logs import configure_logging, stdlib_config

HEADER_READ_TIMEOUT_MS = 5_000  # a connection that says nothing is closed
HEADER_BUFFER_BYTES = 64 * 1024
BACKLOG = 2048


def main() -> int:
    """Serve until SIGTERM or SIGINT. The exit code: 2 for bad settings."""
    argparse.ArgumentParser(
        prog="python -m services.gateway",
        description="Answers package clients from memory, Redis and the object store; has misses fetched.",
        epilog="All settings are ORCHARD_* environment variables: see docs/settings.md.",
    ).parse_args()
    try:
        settings = load_settings(protocols=spoken())
        if not settings.database_url:
            raise ConfigurationError("ORCHARD_DATABASE_URL: needed by a service that runs alone")
        check_exposure(settings)
        _check_address(settings.host, settings.port)
        configure_logging("gateway", settings)
        connections = connections_for(MOST_CONNECTIONS)
    except ConfigurationError as error:
        sys.stderr.write(error.message + "\n")
        return 2
    Granian(
        "services.gateway.app:create_app",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_READ_TIMEOUT_MS, max_buffer_size=HEADER_BUFFER_BYTES
        ),
        websockets=False,
        workers=1,
        loop=Loops.uvloop,
        backlog=BACKLOG,
        backpressure=connections,
        log_level=LogLevels.warning,
        log_dictconfig=_log_config(),
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=math.ceil(settings.drain_notice + settings.drain_timeout) + 1,
    ).serve()
    return 0


def _check_address(host: str, port: int) -> None:
    """Raises `ConfigurationError` when the port is taken: granian would only end its worker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            variable = "ORCHARD_PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "ORCHARD_HOST"
            raise ConfigurationError(
                f"{variable}: cannot listen on {host}:{port} ({error.strerror})"
            ) from error


def _log_config() -> dict[str, Any]:
    """Granian's own loggers into ours; its access log is replaced by the gateway's."""
    quiet = {"handlers": ["structlog"], "level": "WARNING", "propagate": False}
    return {**stdlib_config("warning"), "loggers": {"_granian": quiet, "granian.access": quiet}}


if __name__ == "__main__":
    sys.exit(main())
