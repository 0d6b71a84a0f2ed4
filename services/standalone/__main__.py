"""`python -m services.standalone`: a whole Orchard on this machine, with one command."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.standalone.data_folder import DataFolder
from services.standalone.doctor.machine import machine_findings
from services.standalone.kept_files import remembered_keys
from services.standalone.output import complain, say
from services.standalone.preflight import check_ports
from services.standalone.room import bound_of, make_room
from services.standalone.supervisor import Supervisor
from services.standalone.table import Counts, Modules
from services.standalone.upstreams import choose_upstreams
from shared.access.exposure import check_exposure
from shared.errors import ConfigurationError
from shared.protocols import PROTOCOLS, spoken
from shared.settings import load_settings, upstream_variable

EXIT_CONFIGURATION = 2
EXIT_INTERRUPTED = 130  # as shells name it

_DESCRIPTION = "Run a whole Orchard on this machine: embedded stores, workers and gateway."
_EPILOG = f"""\
settings (environment; all of them: docs/settings.md)
  ORCHARD_PORT            where clients reach it (8080)
  ORCHARD_HOST            the address it listens on (127.0.0.1)
  ORCHARD_ANONYMOUS_READ  true or false: needed where ORCHARD_HOST is an address that others reach
  ORCHARD_DATA_DIR        everything it keeps (./data)
  {", ".join(upstream_variable(each.name) for each in PROTOCOLS)}
                          registries to fetch from, comma-separated, in priority order
  ORCHARD_OFFLINE         true: serve only what is cached
  ORCHARD_DATABASE_URL, ORCHARD_REDIS_HOST, ORCHARD_QUEUE_REDIS_HOST
                          servers that exist already: then none of that kind is started
"""


def main(arguments: Sequence[str] | None = None, *, modules: Modules | None = None) -> int:
    """Run until a signal. Returns the exit code: 0 stopped as asked, 1 cannot start, 2 bad setting."""
    _open_standard_streams()
    options = _parse(arguments)
    counts = Counts(options.gateways, options.fetchers, options.extractors)
    folder: DataFolder | None = None
    try:
        settings = load_settings(protocols=spoken())
        check_exposure(settings)
        os.umask(0o077)  # of every child too: what Orchard keeps is its user's alone
        folder = DataFolder(Path(settings.data_dir))
        folder.open()
        check_ports(settings, counts.gateways)
        given_up = make_room(folder.path)
        for finding in machine_findings(msgspec.structs.replace(settings, data_dir=str(folder.path))):
            if finding.state != "ok":
                complain(f"  ! {finding.check}: {finding.detail}; {finding.cure}")
        upstreams, environment = choose_upstreams(settings, os.environ)
        say(f"Starting Orchard in {folder.path}")
        if given_up:
            say(given_up)
        environment["ORCHARD_DATA_DIR"] = str(folder.path)
        environment["ORCHARD_EVICT_BYTES"] = str(bound_of(settings, folder.path))
        supervisor = Supervisor(
            settings,
            folder,
            counts=counts,
            modules=modules or Modules(),
            upstreams=upstreams,
            environment=environment,
            keys=remembered_keys(settings, folder.path),
        )
        return asyncio.run(supervisor.run())
    except ConfigurationError as error:
        complain(str(error))
        return EXIT_CONFIGURATION
    except KeyboardInterrupt:  # before there was anything to stop
        return EXIT_INTERRUPTED
    finally:
        if folder is not None:
            folder.close()


def _open_standard_streams() -> None:
    """Descriptors 0 to 2 are taken: a lock that got the one of a closed stream would be lost in children."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m services.standalone",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, text in (
        ("gateways", "gateway processes, on ports from ORCHARD_PORT upwards"),
        ("fetchers", "fetcher processes"),
        ("extractors", "extractor processes"),
    ):
        parser.add_argument(f"--{name}", type=_count, default=1, metavar="N", help=f"{text} (default 1)")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 32:
        raise argparse.ArgumentTypeError("between 1 and 32")
    return number


if __name__ == "__main__":
    sys.exit(main())
