"""`python -m services.extractor.sweep`: one sweep by hand. A dry run unless --delete is given."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from services.extractor.sweeper import Sweeper, SweepReport
from shared.errors import OrchardError
from shared.logs import configure_logging
from shared.resources import Resources, open_database, open_object_store, open_redis_pair, open_threads
from shared.settings import Settings, load_settings


async def sweep(settings: Settings, *, delete: bool) -> SweepReport:
    """One run over the stores of the settings. Raises `OrchardError`."""
    async with Resources() as resources:
        threads = open_threads(resources, settings)
        store = await open_object_store(settings, threads, resources=resources)
        cache_redis, queue_redis = await open_redis_pair(resources, settings)
        database = await open_database(resources, settings, max_size=2)
        return await Sweeper(
            store=store, database=database, cache_redis=cache_redis, queue_redis=queue_redis, delete=delete
        ).run()


def main(arguments: list[str] | None = None) -> int:
    """Prints the report as JSON. Exit code 0; 1 when a store failed, 2 for bad settings."""
    parser = argparse.ArgumentParser(prog="python -m services.extractor.sweep", description=__doc__)
    parser.add_argument("--delete", action="store_true", help="delete orphans and decayed objects")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        configure_logging("sweep", settings)
        report = asyncio.run(sweep(settings, delete=options.delete))
    except OrchardError as error:
        sys.stderr.write(error.message + "\n")
        return 2 if error.code == "configuration_error" else 1
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
