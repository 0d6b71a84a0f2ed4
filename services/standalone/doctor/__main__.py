"""`python -m services.standalone.doctor`: what `orchard doctor` runs."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from services.standalone.doctor.addresses import address_findings, as_it_runs
from services.standalone.doctor.findings import Finding, in_words
from services.standalone.doctor.machine import machine_findings
from services.standalone.doctor.signin import signin_findings
from services.standalone.doctor.stores import orchard_findings, store_findings
from services.standalone.doctor.upstreams import upstream_findings
from services.standalone.upstreams import choose_upstreams
from shared.access.exposure import check_exposure
from shared.errors import ConfigurationError, OrchardError
from shared.errors.foreign import reason_of
from shared.protocols import spoken
from shared.settings import Settings, load_settings
from shared.sources.box import SealingBox
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
    sections: dict[str, Callable[[], Sequence[Finding]]] = {
        "settings": lambda: _start_findings(settings),
        "machine": lambda: machine_findings(settings),
        "stores": lambda: asyncio.run(store_findings(settings)),
        "upstreams": lambda: upstream_findings(settings, upstreams),
        "sign-in": lambda: signin_findings(settings),
        "addresses": lambda: address_findings(settings, command_url),
        "Orchard": lambda: orchard_findings(settings),
    }
    return [each for name, look in sections.items() for each in _found(name, look)]


def _start_findings(settings: Settings) -> list[Finding]:
    """What a start refuses before anything runs. Raises `ConfigurationError`."""
    check_exposure(settings)
    SealingBox.from_texts(settings.secret_key)
    return [Finding("settings", "ok", "all are known and have good values")]


def _found(name: str, look: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """A check that cannot be made is a finding, and the others are still made."""
    try:
        return look()
    except (OrchardError, OSError, ValueError) as error:
        return [Finding(name, "failed", reason_of(error), "docs/settings.md lists all of them")]


if __name__ == "__main__":
    sys.exit(main())
