"""One-line structured logs for every process: events are constants, everything else is a field.

`log.info("artifact_stored", protocol="pypi", size_bytes=123)` gives one line of JSON on stdout.
What libraries say through `logging` takes the same way. Secrets are taken out of every line, and
no body is ever logged (bytes are shown as their length).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import IO, Any, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from shared.settings import Settings

MAX_TEXT = 2_000  # characters of one field: a line stays a line
MAX_TRACEBACK = 16_000
MAX_DEPTH = 4
REDACTED = "[redacted]"

# Libraries whose INFO is chatter at our request rates.
_QUIET = ("arq", "asyncio", "asyncpg", "httpx", "httpcore", "aiohttp", "urllib3", "litestar")

_SECRET_KEY = re.compile(
    r"passw|secret|token|authorization|cookie|credential|api[-_]?key|private[-_]?key", re.IGNORECASE
)
_USERINFO = re.compile(r"(?<=://)[^/\s?#\"'<>]*@")
_SECRET_PARAMETER = re.compile(
    r"([?&;][^=&;\s]*(?:passw|secret|token|signature|credential|key|auth)[^=&;\s]*=)[^&;\s\"'<>]+",
    re.IGNORECASE,
)
_SECRET_HEADER = re.compile(r"\b((?:basic|bearer)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)

_encoder = msgspec.json.Encoder(enc_hook=repr)


def configure_logging(service: str, settings: Settings) -> None:
    """Set up structlog and `logging` for this process. Calling it again replaces the set-up."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
        structlog.processors.format_exc_info,
        redact,
    ]
    if settings.log_format == "console":
        colors = sys.stdout.isatty()
        processors.append(structlog.dev.ConsoleRenderer(colors=colors))
        factory: Any = structlog.PrintLoggerFactory(cast(Any, _Unfailing(sys.stdout)))
    else:
        processors.append(_to_json)
        # pytest and some shells replace stdout by something without a buffer of bytes
        buffer = getattr(sys.stdout, "buffer", None)
        file = cast(Any, _Unfailing(buffer or sys.stdout))
        factory = structlog.BytesLoggerFactory(file) if buffer else structlog.PrintLoggerFactory(file)
        if buffer is None:
            processors.append(lambda _logger, _name, line: cast(Any, line).decode())
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [StructlogHandler()]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in settings.ignored:
        get_logger().warning(
            "setting_ignored", variable=name, reason="this version does not speak that protocol"
        )


class _Unfailing:
    """A file for lines whose loss must not end the work they tell of: a full disk, a closed pipe."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file

    def write(self, line: bytes | str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the file was closed
            self._file.write(line)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()


def get_logger(**fields: Any) -> FilteringBoundLogger:
    """A logger; `fields` stand in each of its lines. Safe at import time, before the set-up."""
    return cast(FilteringBoundLogger, structlog.get_logger(**fields))


def stdlib_config(level: str = "info") -> dict[str, Any]:
    """A `logging.config` dictionary that routes into structlog, for servers that insist on one."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"structlog": {"class": "shared.telemetry.logs.StructlogHandler"}},
        "root": {"handlers": ["structlog"], "level": level.upper()},
    }


class StructlogHandler(logging.Handler):
    """Routes what libraries log into the same lines, as event `library_log`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a bad format string in a library must not end a request."""
        try:
            fields: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
            if record.exc_info:
                fields["exc_info"] = record.exc_info
            structlog.get_logger().log(record.levelno, "library_log", **fields)
        except Exception:
            self.handleError(record)


def redact(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Processor: secrets, bodies and endless values out of the line."""
    for key, value in event.items():
        if type(value) in (int, float, bool) or value is None:
            continue
        if _is_secret(key):
            event[key] = REDACTED
        elif type(value) is str:
            # A short word can hold none of what is looked for: most values are such.
            if len(value) > 100 or "/" in value or "=" in value or " " in value:
                event[key] = _clean_text(value, MAX_TRACEBACK if key == "exception" else MAX_TEXT)
        else:
            event[key] = _clean(value, MAX_DEPTH)
    return event


@lru_cache(maxsize=1024)  # field names are constants
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def redact_text(text: str) -> str:
    """The text without credentials in URLs, secret parameters or authorization values."""
    if "://" in text:
        text = _USERINFO.sub(REDACTED + "@", text)
    if "=" in text:
        text = _SECRET_PARAMETER.sub(r"\1" + REDACTED, text)
    if " " in text:
        text = _SECRET_HEADER.sub(r"\1" + REDACTED, text)
    return text


def _clean_text(text: str, limit: int) -> str:
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text)} characters)"
    return redact_text(text)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value, MAX_TEXT)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if value is None or isinstance(value, int | float):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if _is_secret(str(key)) else _clean(inner, depth - 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner, depth - 1) for inner in value]
    return _clean_text(repr(value), MAX_TEXT)


def _named(service: str) -> Processor:
    def add_service(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add_service


def _to_json(_logger: WrappedLogger, _name: str, event: EventDict) -> bytes:
    try:
        return _encoder.encode(event)
    except (ValueError, TypeError, UnicodeEncodeError):  # lone surrogates from a hostile name
        return _encoder.encode({key: ascii(value) for key, value in event.items()})
