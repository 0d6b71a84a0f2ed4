"""All errors by their codes, as they come back out of jobs, events and other processes."""

from __future__ import annotations

from shared.errors import (
    ErrorValue,
    InternalError,
    LastingError,
    OrchardError,
    passing,  # noqa: F401  # classes are known once their module is imported
)


def _all_errors(base: type[OrchardError]) -> list[type[OrchardError]]:
    found: list[type[OrchardError]] = []
    for sub in base.__subclasses__():
        found.append(sub)
        found.extend(_all_errors(sub))
    return found


CATALOGUE: dict[str, type[OrchardError]] = {cls.code: cls for cls in _all_errors(OrchardError)}


def is_final(code: str) -> bool:
    """Whether an error of this code is final: the thing does not exist, is blocked, or the request was
    wrong. An upstream's failure never is, lasting or not."""
    known = CATALOGUE.get(code)
    return known is not None and 400 <= known.status < 500 and not issubclass(known, LastingError)


def from_value(value: ErrorValue) -> OrchardError:
    """The exception for an error that arrived as a value; unknown codes become `InternalError`."""
    cls = CATALOGUE.get(value.code, InternalError)
    return cls(value.message, retry_after_seconds=value.retry_after_seconds)
