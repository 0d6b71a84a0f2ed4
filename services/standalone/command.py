"""How a command over the stores of a standalone Orchard begins and ends: its settings, its exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.standalone.servers import StoreFailed
from shared.errors import OrchardError
from shared.printable import printable
from shared.protocols import spoken
from shared.settings import Settings, load_settings
from shared.telemetry.logs import configure_logging

EXIT_CONFIGURATION = 2
EXIT_INTERRUPTED = 130


def own_settings(name: str) -> Settings:
    """Those of the environment, the data folder in full; of the command `name` only errors are logged. What
    it writes from now on is its owner's alone. Raises `ConfigurationError`."""
    settings = load_settings(protocols=spoken())
    settings = msgspec.structs.replace(settings, data_dir=str(Path(settings.data_dir).expanduser().resolve()))
    configure_logging(name, msgspec.structs.replace(settings, log_level="error"))
    os.umask(0o077)
    return settings


def ended(work: Callable[[], int], path: Path, *refusals: type[Exception]) -> int:
    """The exit code of `work`; where it raises, 1, of a bad setting 2, and one line says why; 130 where it is
    stopped by SIGINT or SIGTERM, after what it had begun is put away. `path`: what it is about; `refusals`:
    what it may raise besides errors of Orchard, its stores and the system."""
    expected: tuple[type[Exception], ...] = (StoreFailed, *refusals)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work()
    except KeyboardInterrupt:
        return _fault("interrupted", EXIT_INTERRUPTED)
    except OrchardError as error:
        code = EXIT_CONFIGURATION if error.code == "configuration_error" else 1
        return _fault(error.message, code, kind=error.code, hint=error.hint)
    except expected as error:
        return _fault(str(error), 1)
    except OSError as error:
        return _fault(f"{error.filename or path}: {error.strerror}", 1)


def tell(text: str) -> None:
    """A result, on standard output, ended by a line break. Raises `OSError` where nobody can take it."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed; what was asked for is done", "standard output")
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left at exit
        said = f"{error.strerror}; what was asked for is done"
        raise OSError(error.errno, said, "standard output") from None


def _interrupt(*_: object) -> None:
    """SIGTERM goes the way of SIGINT, also where a shell started the command in the background, which ignores
    SIGINT (POSIX, "Asynchronous Lists")."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _fault(message: str, code: int, *, kind: str = "", hint: str = "") -> int:
    """One line on standard error; with `--json` among the arguments, as the command's own faults are."""
    if "--json" in sys.argv:
        fields = {"message": message, "hint": hint, "code": kind, "exit_code": code}
        line = json.dumps({"error": {name: value for name, value in fields.items() if value}})
    else:
        line = f"orchard: {printable(message)}"
    sys.stderr.write(f"{line}\n")
    return code
