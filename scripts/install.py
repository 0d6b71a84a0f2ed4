"""Installs pinned packages with pip and says little: one line that counts on a terminal, all of pip's words
when it fails. The Makefile runs it with the Python that gets the packages: `python scripts/install.py FILE`.
"""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# Each package comes at its pinned version with its pinned hash, from whatever index pip is set up for.
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps")
_NOTED = re.compile(r"(Collecting|Requirement already satisfied|Building wheel) ")


def main(arguments: Sequence[str]) -> int:
    """The exit code is pip's."""
    (file,) = arguments
    with Path(sys.prefix, ".installing").open(
        "w"
    ) as lock:  # given back when this process ends, however it does
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"Another make installs into {Path(sys.prefix).name}: waiting for it\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        return _install(file)


def _install(file: str) -> int:
    count = len(re.findall(r"^[^#\s]+==", Path(file).read_text(), re.MULTILINE))
    where = Path(sys.prefix).name
    words = f"Installing {count} packages into {where} (only when the pins have changed)"
    counting = sys.stdout.isatty()
    _say(words if counting else f"{words}\n")
    command = [sys.executable, *PIP, "--progress-bar", "off", "-r", file]
    said, number = [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:  # noqa: S603
        assert pip.stdout is not None
        for line in pip.stdout:
            said.append(line)
            if counting and _NOTED.match(line.lstrip()):
                number = min(number + 1, count)
                _say(f"\r{words}: {number} of {count} ")
            elif "Installing collected packages" in line and counting:
                _say(f"\r{words}: unpacking … ")
    if pip.returncode:
        _say("\n" + "".join(said))
    elif counting:
        _say(f"\r{words}: done      \n")
    return pip.returncode


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
