"""How the command fails: one line of what went wrong, one of what to do, and an exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The exit codes; docs/cli.md shows them with these comments."""

    DONE = 0  # done
    FAILED = 1  # refused or failed; the message says what
    USAGE = 2  # wrong arguments, a bad setting, or an ensure file that cannot be understood
    UNREACHABLE = 3  # no Orchard answers at ORCHARD_URL
    FORBIDDEN = 4  # a token is missing or not sufficient
    CONFLICT = 5  # no set of versions satisfies all requirements
    UNFINISHED = 6  # something is missing for a passing cause, or time ran out: try again
    UNSUPPORTED = 7  # this server does not offer what was asked for
    DIFFERS = 8  # files of a lock differ, are absent, refused or of no registry: no retry brings them
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


_MOST_NAMED = 10


def subject(each: Mapping[str, Any]) -> str:
    """What was not found, by its name: a requirement names it in some protocols ("demo>=1") and in others not
    ("*")."""
    name, requirement = str(each.get("name", "")), str(each.get("requirement", ""))
    if name.lower() in requirement.lower():
        return requirement or name
    return f"{name} ({requirement})" if requirement else name


def unfinished(what: str, missing: Iterable[Mapping[str, Any]], *, then: str = "") -> Unfinished:
    """`what` lacks these, as the API lists them. `then`: what follows from it. No retry cures that an Orchard
    is offline, nor what is not marked as passing."""
    lacks = {subject(each): each for each in missing}
    lines = [f"\n  - {name}: {each.get('reason', '')}" for name, each in list(lacks.items())[:_MOST_NAMED]]
    if len(lacks) > _MOST_NAMED:
        lines.append(f"\n  … and {len(lacks) - _MOST_NAMED} more")
    named = ":" + "".join(lines) if lines else ""
    if any(str(each.get("reason", "")).startswith("offline:") for each in lacks.values()):
        message = f"{what} lacks something that was never cached, and this Orchard is offline{named}"
        hint = "Have it cached while upstreams are asked, then run this again."
    elif any(str(each.get("reason", "")).startswith("no_source:") for each in lacks.values()):
        message, hint = (
            f"{what} lacks something that no source may be asked for{named}",
            "No retry brings it.",
        )
    elif not lacks or any(each.get("passing") for each in lacks.values()):
        message, hint = f"{what} lacks something for a passing cause{named}", "Run the same command again."
    else:
        message, hint = f"{what} lacks something{named}", "No retry brings it: see the reasons."
    return Unfinished(message, f"{then} {hint}".strip())


class Differs(CommandFailed):
    exit_code = Exit.DIFFERS


class NotOffered(CommandFailed):
    exit_code = Exit.UNSUPPORTED


class Interrupted(CommandFailed):
    exit_code = Exit.INTERRUPTED
