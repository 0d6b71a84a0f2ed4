"""A command that runs in ours: it gets our signals, and we end as it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from services.cli.errors import CommandFailed

PASSED_ON = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")  # as far as the system has them
BY_SIGNAL = 128  # and the signal's number is the exit code, as shells have it


def run_command(words: Sequence[str], env: Mapping[str, str]) -> int:
    """Run it to its end; its exit code. It is waited for also when it takes its time over a signal. Raises
    `CommandFailed` where it cannot be started."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []  # what came before there was a command

    def pass_on(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        elif number != signal.SIGINT or not _is_in_foreground():  # else the terminal has told it too
            child.send_signal(number)

    with _handled_by(pass_on):
        try:
            child = subprocess.Popen(words, env=env)  # noqa: S603 - what was typed
        except OSError as error:
            raise CommandFailed(f"{words[0]} cannot be run: {error.strerror}") from None
        for each in early:
            child.send_signal(each)
        code = child.wait()
    return BY_SIGNAL - code if code < 0 else code


@contextmanager
def _handled_by(pass_on: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """What is ignored, as under nohup, the command ignores as well."""
    known = [getattr(signal, name) for name in ("SIGINT", *PASSED_ON) if hasattr(signal, name)]
    numbers = [each for each in known if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    """Whether a terminal sends Ctrl-C to our whole group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
