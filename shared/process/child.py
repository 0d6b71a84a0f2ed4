"""A module of ours in a process of its own: one question, one answer, within a time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def answer_of(module: str, question: bytes, seconds: float, files: Collection[int] = ()) -> bytes:
    """What `python -m module` writes to its standard output, given the question on its standard input; of one
    that dies, what it had written. `files`: descriptors that it has too, by the same numbers. Raises
    `TimeoutError`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        pass_fds=tuple(files),
        # Nothing of our environment: it holds the passwords of the stores.
        env={"PYTHONUTF8": "1", "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await child.communicate(question)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return output
