"""The base of all errors: an exception with a stable code, its form between processes, its body.

The body is a problem document (RFC 9457), unless a protocol's clients read another.
"""

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
    hint: str = "This is a defect in Orchard: please report it with the request id."
    default_retry_after_seconds: ClassVar[int] = 0

    # Attributes for the process that raised it alone (services/fetcher/sources/breakers.py):
    asked_to_wait = False  # `retry_after_seconds` comes from the upstream's Retry-After
    about_host = False  # the host cannot be reached at all: nothing of it can be had
    about_one = False  # this address alone: all else of the host can be had
    of_source = False  # a source says so of what it has, and no rule of this Orchard's

    def __init__(self, message: str, *, retry_after_seconds: int | None = None, hint: str = "") -> None:
        """`hint`: what to do, where it is more exact than what its class says. It does not travel."""
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint
        self.retry_after_seconds = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )

    def status_of(self, kind: str) -> int:
        """The status for a kind of resource ("index", "artifact", …)."""
        return self.file_status or self.status if kind == "artifact" else self.status

    def to_value(self) -> ErrorValue:
        """The same error as a value for jobs and events."""
        return ErrorValue(self.code, self.message, self.retry_after_seconds)


PROBLEM = "application/problem+json"

_encode = msgspec.json.Encoder().encode


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The problem document of an error, with a plain `reason` for clients that show only that."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    reason: str
    hint: str
    request_id: str


def problem_of(error: OrchardError, request_id: str, *, status: int = 0) -> Problem:
    """`status`: if it is not the error's own."""
    title = error.code.replace("_", " ")
    return Problem(
        type="about:blank",
        title=title[0].upper() + title[1:],
        status=status or error.status,
        detail=error.message,
        code=error.code,
        reason=f"{error.message}. {error.hint}",
        hint=error.hint,
        request_id=request_id,
    )


def problem_body(problem: Problem, own: dict[str, str] | None = None) -> tuple[str, bytes]:
    """Content type and body of the problem document, with further members."""
    return PROBLEM, _encode(msgspec.structs.asdict(problem) | own if own else problem)
