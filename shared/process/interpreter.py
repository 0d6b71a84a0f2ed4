"""Sets the interpreter up for a service: two defaults of CPython are made for other programs."""

from __future__ import annotations

import gc
import sys

SWITCH_SECONDS = 0.0005


def tune() -> None:
    """For this process, from now on. Call it once, when what the service needs is imported.

    A thread that reads a large document gives the interpreter back after half a millisecond; by default
    whatever the loop does waits 5 ms for it, each time. And what stands by now is never garbage: to look
    through it again and again took a third of the work for an index of thousands of files.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
