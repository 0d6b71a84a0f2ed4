"""What every error of Orchard is: an exception with a stable code, and its value between processes."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it travels between processes: jobs return values, never pickled exceptions."""

    code: str
    message: str
    retry_after_seconds: int = 0


class OrchardError(Exception):
    """Base of all errors that reach a client or a log. `message` never holds a secret."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    file_status: ClassVar[int] = 0  # where it is another for a file than for a page
    retryable: ClassVar[bool] = False
    hint: ClassVar[str] = "This is a defect in Orchard: please report it with the request id."
    default_retry_after_seconds: ClassVar[int] = 0

    # What only the process that raised it is told (services/fetcher/breakers.py):
    told_to_wait = False  # `retry_after_seconds` is the upstream's own word, or what is left of it
    about_host = False  # the host cannot be reached at all: nothing of it can be had

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )

    def status_of(self, kind: str) -> int:
        """The status for a kind of resource ("index", "artifact", …)."""
        return self.file_status or self.status if kind == "artifact" else self.status

    def to_value(self) -> ErrorValue:
        """The same error as a value for jobs and events."""
        return ErrorValue(self.code, self.message, self.retry_after_seconds)
