"""Keeps asyncpg's exceptions inside `shared.postgres`: what each one means to the rest of Orchard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
from asyncpg.exceptions import _base as client_side

from shared.errors import ConfigurationError, InternalError, InvalidData, OrchardError
from shared.errors.passing import DatabaseUnavailable

_DATA_CLASSES = ("22", "23", "54")  # data exception, integrity constraint, program limit exceeded
_PASSING_CLASSES = ("08", "40", "53", "55", "57", "58")  # connection, rollback, resources, operator, system
_SCHEMA_MISSING = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)


def translate(error: BaseException) -> OrchardError | None:
    """The catalogue's error for a foreign one, or None if it is not ours to translate.

    SQLSTATE classes: PostgreSQL documentation, appendix A. No value of a statement is repeated in
    the message: a row may hold credentials.
    """
    if isinstance(error, client_side.ClientConfigurationError):
        return ConfigurationError("ORCHARD_DATABASE_URL: not a usable PostgreSQL address")
    if isinstance(error, client_side.DataError | UnicodeEncodeError):
        return InvalidData("a value does not fit its column's type")
    if isinstance(error, asyncpg.PostgresError):
        return _translate_server(error)
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable("PostgreSQL did not answer in time")
    if isinstance(error, OSError | client_side.InterfaceError | client_side.InternalClientError):
        return DatabaseUnavailable(f"the connection to PostgreSQL failed ({type(error).__name__})")
    return None


def _translate_server(error: asyncpg.PostgresError) -> OrchardError:
    state = error.sqlstate or ""
    what = getattr(error, "constraint_name", None) or type(error).__name__
    if isinstance(error, _SCHEMA_MISSING):
        return DatabaseUnavailable("the database lacks a table or column: run python -m shared.migrations")
    if state.startswith(_DATA_CLASSES):
        return InvalidData(f"PostgreSQL refused a row ({what})")
    if state.startswith("28") or isinstance(error, asyncpg.InvalidCatalogNameError):
        return DatabaseUnavailable(f"PostgreSQL refused the login or the database ({what})")
    if state.startswith(_PASSING_CLASSES):
        return DatabaseUnavailable(f"PostgreSQL cannot answer now ({what})")
    return InternalError(f"PostgreSQL refused a statement ({what})")


@contextmanager
def translated() -> Iterator[None]:
    """Raises the catalogue's error in place of a foreign one."""
    try:
        yield
    except Exception as error:
        ours = translate(error)
        if ours is None:
            raise
        raise ours from error


def refuse_unstorable(args: Sequence[Any]) -> None:
    """Raises `InvalidData` for text that PostgreSQL cannot hold: NUL and lone surrogates.

    Checked before the statement is sent, so that one such value costs no connection and no
    transaction; looks into lists of text too (the columns of a batch).
    """
    for arg in args:
        if isinstance(arg, str):
            _refuse_text(arg)
        elif isinstance(arg, list | tuple):
            for item in arg:
                if isinstance(item, str):
                    _refuse_text(item)


def _refuse_text(text: str) -> None:
    if text.isascii():
        if "\x00" in text:
            raise InvalidData("a text holds a NUL character")
        return
    if "\x00" in text:
        raise InvalidData("a text holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidData("a text holds a lone surrogate") from None
