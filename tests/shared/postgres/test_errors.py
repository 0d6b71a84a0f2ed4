"""What PostgreSQL's driver raises, told in the catalogue's words: passing trouble never as a defect."""

from __future__ import annotations

import asyncpg
import pytest
from asyncpg import exceptions

from shared.errors import ConfigurationError, InternalError, InvalidData, OrchardError
from shared.errors.passing import DatabaseUnavailable, PassingError
from shared.postgres.errors import translate

TOLD: list[tuple[BaseException, type[OrchardError]]] = [
    (exceptions.InternalClientError("got result for unknown protocol state"), DatabaseUnavailable),
    (exceptions.ProtocolError("unexpected message"), DatabaseUnavailable),
    (exceptions.InterfaceError("connection is closed"), DatabaseUnavailable),
    (asyncpg.TooManyConnectionsError("sorry, too many clients already"), DatabaseUnavailable),
    (asyncpg.AdminShutdownError("terminating connection"), DatabaseUnavailable),
    (ConnectionResetError(), DatabaseUnavailable),
    (TimeoutError(), DatabaseUnavailable),
    (exceptions.ClientConfigurationError("invalid DSN"), ConfigurationError),
    (exceptions.DataError("invalid input for query argument $1"), InvalidData),
    (asyncpg.CheckViolationError("violates check constraint"), InvalidData),
    (asyncpg.PostgresSyntaxError("syntax error"), InternalError),
]


@pytest.mark.parametrize(("error", "told"), TOLD, ids=lambda each: getattr(each, "__name__", repr(each)))
def test_translate__what_the_driver_raises__the_kind_of_trouble(
    error: BaseException, told: type[OrchardError]
) -> None:
    ours = translate(error)
    assert type(ours) is told
    assert isinstance(ours, PassingError) == (told is DatabaseUnavailable)
    if told is DatabaseUnavailable:
        assert ours is not None and ours.status == 503


def test_translate__not_of_the_database__left_alone() -> None:
    assert translate(KeyError("x")) is None
