"""Where folders of tests lie: in memory if there is plenty, for what is made there is removed again.

An Orchard makes 1,500 folders at its first start and syncs every file; on a plain disk of a virtual machine
tests of the object store took ten times as long. Whoever names TMPDIR or --basetemp gets that.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

FREE_BYTES = 10 << 30  # a whole run has at most four at a time
_MEMORY = Path("/dev/shm")
_FOLDER = f"orchard-tests-{os.getuid()}"


def choose_folder() -> None:
    """For this process and those that it starts."""
    if "TMPDIR" in os.environ or not _is_roomy():
        return
    folder = _MEMORY / _FOLDER
    folder.mkdir(mode=0o755, exist_ok=True)
    if folder.stat().st_uid == os.getuid():
        os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None


def _is_roomy() -> bool:
    try:
        found = os.statvfs(_MEMORY)
        available = next(
            line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line
        )
    except (OSError, StopIteration):
        return False
    runs_programs = not found.f_flag & os.ST_NOEXEC
    free = min(found.f_bavail * found.f_frsize, int(available.split()[1]) * 1024)
    return runs_programs and os.access(_MEMORY, os.W_OK) and free >= FREE_BYTES
