"""`orchard logs`: what the processes of this machine's Orchard said, of one request or of all."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.cli.errors import CommandFailed
from services.cli.output import Output, printable
from services.cli.target import data_folder

LEVELS = ("debug", "info", "warning", "error", "critical")
_SHOWN = ("timestamp", "level", "event", "request_id")


def run(options: argparse.Namespace, output: Output) -> None:
    """In the order of their times; the last `--limit` of them."""
    folder = data_folder(os.environ) / "logs"
    if not folder.is_dir():
        raise CommandFailed(
            f"there are no logs in {folder}",
            "ORCHARD_DATA_DIR says whose; in containers the platform has them.",
        )
    least = LEVELS.index(options.level)
    found = [
        each
        for each in _lines(folder)
        if (not options.request_id or each.get("request_id") == options.request_id)
        and LEVELS.index(str(each.get("level", "info"))) >= least
    ]
    found.sort(key=lambda each: str(each.get("timestamp", "")))
    found = found[-options.limit :]
    if options.request_id and not found:
        raise CommandFailed(
            f"nothing was said of request {options.request_id}",
            "X-Request-Id of an answer and `request_id` of an error name it; logs are kept as "
            "ORCHARD_LOG_BYTES and ORCHARD_LOG_FILES say.",
        )
    if not found:
        output.note(f"nothing was said of the level {options.level} or above it")
    output.result({"items": found}, "\n".join(map(_in_words, found)))


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    """What Orchard's own processes wrote as JSON, `service` being the file's name."""
    for path in sorted(folder.glob("*.log*")):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.startswith("{"):
                    continue
                try:
                    found = json.loads(line)
                except ValueError:  # cut off by a crash
                    continue
                if isinstance(found, dict) and found.get("level", "info") in LEVELS:
                    yield {"service": path.name.partition(".")[0], **found}


def _in_words(line: dict[str, Any]) -> str:
    more = [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in line.items()
        if name not in (*_SHOWN, "service")
    ]
    words = [str(line.get(name, "")) for name in ("timestamp", "level")]
    told = [words[0], f"{words[1]:<7}", str(line["service"]), str(line.get("event", "")), *more]
    return printable(" ".join(told))
