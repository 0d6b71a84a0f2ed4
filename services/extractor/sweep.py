"""`python -m services.extractor.sweep`: one sweep by hand, or one eviction with --evict.

A dry run unless --delete is given: it prints what it would do.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from services.extractor.housekeeping.evictor import EvictionReport, Evictor
from services.extractor.housekeeping.sweeper import Sweeper, SweepReport
from shared.errors import ConfigurationError, OrchardError
from shared.process.resources import Resources
from shared.protocols import spoken
from shared.settings import Settings, load_settings
from shared.stores import open_stores
from shared.telemetry.logs import configure_logging


async def sweep(settings: Settings, *, delete: bool, evict: bool = False) -> SweepReport | EvictionReport:
    """One run over the stores of the settings. Raises `OrchardError`."""
    if evict and not (settings.evict_days or settings.evict_bytes):
        raise ConfigurationError("ORCHARD_EVICT_DAYS: --evict needs it, or ORCHARD_EVICT_BYTES")
    if evict and settings.offline:
        raise ConfigurationError("ORCHARD_OFFLINE: what is evicted now could not be fetched again")
    async with Resources() as resources:
        stores = await open_stores(resources, settings, max_connections=2)
        if evict:
            days, max_bytes = settings.evict_days, settings.evict_bytes or 0
            return await Evictor(stores, days=days, max_bytes=max_bytes, dry_run=not delete).run()
        return await Sweeper(stores, delete=delete, most=0).run()


def main(arguments: list[str] | None = None) -> int:
    """Prints the report as JSON. Exit code 0; 1 when a store failed, 2 for bad settings."""
    parser = argparse.ArgumentParser(prog="python -m services.extractor.sweep", description=__doc__)
    parser.add_argument(
        "--evict",
        action="store_true",
        help="instead: files due by ORCHARD_EVICT_DAYS and ORCHARD_EVICT_BYTES",
    )
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--delete", action="store_true", help="delete what was found")
    doing.add_argument("--dry-run", action="store_true", help="only print it (the default)")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(protocols=spoken())
        configure_logging("sweep", settings)
        report = asyncio.run(sweep(settings, delete=options.delete, evict=options.evict))
    except OrchardError as error:
        sys.stderr.write(error.message + "\n")
        return 2 if error.code == "configuration_error" else 1
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
