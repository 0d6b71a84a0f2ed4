"""`python -m services.standalone.doctor`: what `orchard doctor` runs."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.standalone.doctor.addresses import address_findings, as_it_runs
from services.standalone.doctor.findings import Finding, in_words
from services.standalone.doctor.machine import machine_findings
from services.standalone.doctor.signin import signin_findings
from services.standalone.doctor.stores import orchard_findings, store_findings
from services.standalone.doctor.upstreams import upstream_findings
from services.standalone.upstreams import choose_upstreams
from shared.errors import ConfigurationError
from shared.protocols import spoken
from shared.settings import load_settings
from shared.telemetry.logs import configure_logging

EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing failed, though there may be warnings; 1: something did."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.doctor", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--url", default="", help="ORCHARD_URL of the `orchard` command")
    options = parser.parse_args(arguments)
    findings = examine(options.url)
    failed = any(each.state == "failed" for each in findings)
    told = {"ok": not failed, "findings": findings}
    text = msgspec.json.format(msgspec.json.encode(told)).decode() if options.json else in_words(findings)
    sys.stdout.write(text + "\n")
    return EXIT_FAILED if failed else 0


def examine(command_url: str = "") -> list[Finding]:
    """Every check that can be made with these settings. `command_url`: whom the `orchard` command asks."""
    try:
        settings = load_settings(protocols=spoken())
        upstreams, variables = choose_upstreams(settings, os.environ)
    except ConfigurationError as error:
        lines = error.message.splitlines()
        return [Finding("settings", "failed", line, "docs/settings.md lists all of them") for line in lines]
    configure_logging("doctor", msgspec.structs.replace(settings, log_level="error"))
    os.environ.update(variables)  # a client's certificates go with its index
    settings = msgspec.structs.replace(
        settings, data_dir=str(Path(settings.data_dir).expanduser().absolute())
    )
    settings = as_it_runs(settings, os.environ)
    return [
        Finding("settings", "ok", "all are known and have good values"),
        *machine_findings(settings),
        *asyncio.run(store_findings(settings)),
        *upstream_findings(settings, upstreams),
        *signin_findings(settings),
        *address_findings(settings, command_url),
        *orchard_findings(settings),
    ]


if __name__ == "__main__":
    sys.exit(main())
