"""Loaded by each Python process that has this folder in PYTHONPATH: notes which functions of Orchard run.

While the file that HOUSE_PROBE names (with ".on" at its end) exists, each call is kept; once it is gone, the
calls go to "{HOUSE_PROBE}.{pid}.json" as [file, function, line]. Standard library alone.
"""

import json
import os
import sys
import threading
import time
from types import FrameType
from typing import Any

LOOK_SECONDS = 0.02  # how often the switch is looked at
CO_NEWLOCALS = 2  # of functions alone (inspect); a module's and a class's body run when it is imported


def _start(out: str) -> None:
    root = os.getcwd() + os.sep  # noqa: PTH109  # pathlib would be profiled with the rest
    own = (root + "services" + os.sep, root + "shared" + os.sep)
    calls: list[tuple[str, str, int]] = []
    looked, on = 0.0, False

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal looked, on
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(own) or not code.co_flags & CO_NEWLOCALS:
            return
        now = time.monotonic()
        if now - looked > LOOK_SECONDS:
            looked = now
            was, on = on, os.path.exists(out + ".on")  # noqa: PTH110
            if was and not on:
                with open(f"{out}.{os.getpid()}.json", "w") as file:  # noqa: PTH123
                    json.dump(calls, file)
            if on and not was:
                calls.clear()
        if on:
            calls.append((code.co_filename[len(root) :], code.co_qualname, code.co_firstlineno))

    sys.setprofile(profile)
    threading.setprofile(profile)


if os.environ.get("HOUSE_PROBE"):
    _start(os.environ["HOUSE_PROBE"])
