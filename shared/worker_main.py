"""The command line of a worker process: settings, signals, exit codes. The same for all workers."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop

from shared.errors import ConfigurationError, OrchardError
from shared.logs import configure_logging
from shared.settings import Settings, load_settings

Run = Callable[[Settings, asyncio.Event], Awaitable[None]]
"""Serve until the event is set, then drain and return."""


def worker_main(service: str, description: str, run: Run) -> int:
    """Run a worker until SIGTERM or SIGINT. The exit code: 0 after a stop, 1 when it cannot start, 2 for
    bad settings (one line each on stderr)."""
    argparse.ArgumentParser(
        prog=f"python -m services.{service}",
        description=description,
        epilog="All settings are ORCHARD_* environment variables: see docs/settings.md.",
    ).parse_args()
    try:
        settings = load_settings()
        configure_logging(service, settings)
        uvloop.run(_serve(settings, run))
    except ConfigurationError as error:
        sys.stderr.write(error.message + "\n")
        return 2
    except OrchardError as error:
        sys.stderr.write(f"{service}: {error.message}. {error.hint}\n")
        return 1
    return 0


async def _serve(settings: Settings, run: Run) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)
