"""`python -m shared.migrations`: brings the database that ORCHARD_DATABASE_URL names up to date."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from shared.access.repository import write_rules
from shared.errors import ConfigurationError, OrchardError
from shared.errors.passing import DatabaseUnavailable
from shared.migrations.runner import DriftError, MigrationFailed, migrate, read_migrations
from shared.policy.rules import rules_of
from shared.protocols import spoken
from shared.settings import load_settings

OK, FAILED, BAD_USAGE, DRIFT, NO_SERVER = 0, 1, 2, 3, 4

_EPILOG = """\
exit codes: 0 up to date; 1 a migration failed (rolled back); 2 bad setting or usage;
3 drift: an applied file was changed or skipped; 4 PostgreSQL did not answer in time.
Safe to run at any time and from several places at once: runners wait for one another."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; one line per step on standard output, one per fault on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.migrations",
        description="Apply pending migrations to the database in ORCHARD_DATABASE_URL, and put the rules of "
        "the settings in force (ORCHARD_MINIMUM_AGE and its like).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--wait", type=float, default=15.0, metavar="SECONDS", help="for the server to come up (15)"
    )
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(protocols=spoken())
        url = settings.database_url
        if not url:
            raise ConfigurationError("ORCHARD_DATABASE_URL: not set; nothing to migrate")
        count = asyncio.run(migrate(url, read_migrations(), wait_seconds=options.wait, say=_say))
        less = asyncio.run(write_rules(url, rules_of(settings), time.time()))
        if less is not None:
            _say("the rules of what may be served (docs/firewall.md) are as these settings say")
        for each in less or ():
            _say(f"they ask less than before: {each}")
    except ConfigurationError as error:
        return _fault(error.message, BAD_USAGE)
    except DatabaseUnavailable as error:
        return _fault(f"ORCHARD_DATABASE_URL: {error.message}", NO_SERVER)
    except DriftError as error:
        return _fault(f"drift: {error}", DRIFT)
    except (MigrationFailed, OrchardError, ValueError) as error:
        return _fault(str(error), FAILED)
    _say("the database is up to date" if not count else f"done: {count} applied")
    return OK


def _say(line: str) -> None:
    sys.stdout.write(f"migrations: {line}\n")
    sys.stdout.flush()


def _fault(message: str, code: int) -> int:
    for line in message.splitlines():
        sys.stderr.write(f"migrations: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
