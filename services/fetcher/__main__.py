"""`python -m services.fetcher`: exit code 2 and one line per fault for bad settings, 0 after SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from services.fetcher.worker import SERVICE, run
from shared.errors import ConfigurationError, OrchardError
from shared.logs import configure_logging
from shared.settings import Settings, load_settings


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


def main() -> int:
    """The exit code."""
    try:
        settings = load_settings()
        configure_logging(SERVICE, settings)
        uvloop.run(_serve(settings))
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 2
    except OrchardError as error:
        print(f"{SERVICE}: {error.message}. {error.hint}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
