"""What a process that reads what strangers wrote may cost, and how it says what is wrong with that."""

from __future__ import annotations

import resource

from shared.policy.evidence import LONGEST

MOST_MEMORY_BYTES = 1024**3


def bound(cpu_seconds: int) -> None:
    """This process from now on: no core files, so much memory and processor time, then it dies."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))


def in_words(error: BaseException) -> str:
    """A library's reason, in one line."""
    words = " ".join((str(error) or type(error).__name__).split())
    return "".join(filter(str.isprintable, words))[:LONGEST]
