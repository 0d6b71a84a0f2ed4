"""Every line is one JSON object, carries the request id, and holds neither secrets nor bodies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.telemetry.logs import redact, redact_text

ROOT = Path(__file__).parents[3]
CANARY = "s3cr3t-canary"


def lines_of(program: str, **environ: str) -> list[dict[str, Any]]:
    """The log lines of a process of its own: the set-up is global to a process."""
    setup = (
        "import logging\n"
        "from shared.telemetry.logs import *\n"
        "from shared.telemetry.logs import configure_logging, get_logger\n"
        "from shared.settings import load_settings\n"
        f"configure_logging('tester', load_settings({environ!r}))\n"
        "log = get_logger()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", setup + program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_line__constant_event_with_fields__one_json_object() -> None:
    (line,) = lines_of("log.info('artifact_stored', protocol='pypi', size_bytes=12)")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "artifact_stored",
        "protocol": "pypi",
        "size_bytes": 12,
        "level": "info",
        "service": "tester",
    }


def test_line__below_level__not_written() -> None:
    found = lines_of(
        "log.debug('a'); log.info('b'); log.error('c'); logging.getLogger('x').info('d')",
        ORCHARD_LOG_LEVEL="warning",
    )
    assert [line["event"] for line in found] == ["c"]


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize(
    "broken", ["sys.stdout = open('/dev/full', 'w')", "sys.stdout = open(os.devnull, 'w')"]
)
def test_line__disk_is_full_or_file_is_closed__the_caller_goes_on(broken: str, format_: str) -> None:
    found = lines_of(
        "import os, sys\n"
        f"{broken}\n"
        f"configure_logging('tester', load_settings({{'ORCHARD_LOG_FORMAT': {format_!r}}}))\n"
        "if sys.stdout.name == os.devnull: sys.stdout.close()\n"
        "for _ in range(3): log.info('lost', text='x' * 5000)\n"
        'sys.__stdout__.write(\'{"event": "went on"}\')\n'
        "sys.__stdout__.flush()\n"
        "os._exit(0)\n"
    )
    assert [line["event"] for line in found] == ["went on"]


def test_library_log__routed__same_format() -> None:
    found = lines_of(
        "logging.getLogger('arq.worker').warning('lost %s', 'x')\n"
        "logging.getLogger('arq.worker').info('chatter')\n"
        "logging.getLogger('anything').error('bad %d', 'format')\n"
    )
    assert [(line["event"], line["logger"], line["message"]) for line in found] == [
        ("library_log", "arq.worker", "lost x")
    ]


def test_line__hostile_values__still_one_json_line() -> None:
    found = lines_of(
        "log.info('x', name='a\\nb\\u2028', surrogate='\\ud800', nul='\\0', odd=object, big=10**40)"
    )
    assert len(found) == 1
    assert found[0]["name"] in ("a\nb\u2028", repr("a\nb\u2028"), ascii("a\nb\u2028"))


def test_line__exception__traceback_without_secret() -> None:
    (line,) = lines_of(
        f"try: raise ValueError('cannot reach https://user:{CANARY}@host.example/x?token={CANARY}')\n"
        "except ValueError: log.exception('failed')"
    )
    assert "ValueError" in line["exception"]
    assert CANARY not in json.dumps(line)


@pytest.mark.parametrize(
    "field",
    [
        {"password": CANARY},
        {"redis_password": CANARY},
        {"Authorization": CANARY},
        {"set_cookie": CANARY},
        {"live_token": CANARY},
        {"url": f"https://user:{CANARY}@host.example/simple/"},
        {"url": f"postgresql://u:{CANARY}@h/db"},
        {"url": f"https://{CANARY}@host.example/"},
        {"url": f"https://host.example/x?a=1&X-Amz-Signature={CANARY}"},
        {"message": f"sent Bearer {CANARY}"},
        {"headers": {"x-auth-token": CANARY, "nested": [{"secret": CANARY}]}},
        {"sources": [f"https://a:{CANARY}@b.example/"]},
        {"body": CANARY.encode()},
        {"deep": {"a": {"b": {"c": {"d": {"password": CANARY}}}}}},
        {"error": ValueError(f"https://u:{CANARY}@h.example")},
    ],
)
def test_redact__secret_in_any_place__removed(field: dict[str, Any]) -> None:
    assert CANARY not in repr(redact(None, "", dict(field)))


def test_redact__long_text__cut_with_its_length() -> None:
    assert redact(None, "", {"text": "x" * 100_000})["text"].endswith("… (100000 characters)")


def test_redact_text__harmless_text__unchanged() -> None:
    for text in ("https://host.example/simple/flask/?format=json", "a=b", "user@example.com", "basic use"):
        assert redact_text(text) == text
