"""How the command fails: one line of what went wrong, one of what to do, and an exit code."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes; docs/cli.md shows them with these comments."""

    DONE = 0  # done
    FAILED = 1  # refused or failed; the message says what
    USAGE = 2  # wrong arguments, a bad setting, or an ensure file that cannot be understood
    UNREACHABLE = 3  # no Orchard answers at ORCHARD_URL
    FORBIDDEN = 4  # a token is missing or not sufficient
    CONFLICT = 5  # no set of versions satisfies all wishes
    UNFINISHED = 6  # something is missing for a passing cause, or time ran out: try again
    UNSUPPORTED = 7  # this server does not offer what was asked for
    INTERRUPTED = 130  # Ctrl-C
    BROKEN_PIPE = 141  # whoever read the output has gone


class CommandFailed(Exception):
    """Ends the command. `message` and `hint` never hold a secret; `code` is the server's error code."""

    exit_code = Exit.FAILED

    def __init__(self, message: str, hint: str = "", *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.status = status


class WrongUse(CommandFailed):
    exit_code = Exit.USAGE


class ServerUnreachable(CommandFailed):
    exit_code = Exit.UNREACHABLE


class NotPermitted(CommandFailed):
    exit_code = Exit.FORBIDDEN


class Conflict(CommandFailed):
    exit_code = Exit.CONFLICT


class Unfinished(CommandFailed):
    exit_code = Exit.UNFINISHED


class NotOffered(CommandFailed):
    exit_code = Exit.UNSUPPORTED


class Interrupted(CommandFailed):
    exit_code = Exit.INTERRUPTED
