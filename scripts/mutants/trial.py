"""One break in a copy of the tree, and the tests that should notice it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from scripts.mutants.table import ROOT, Mutant
from tests.support.stores import STANDING

TEST_SECONDS = 90  # a break that makes a test hang is noticed by then
LIMIT_SECONDS = 300  # of all tests of a row; past it the machine is too busy to tell
UNUSED = ("cacheprovider", "faker", "hypothesispytest", "xdist")  # plugins: two seconds of each start
_PASSED, _FAILED = 0, 1  # pytest's exit codes


class Outcome(msgspec.Struct, frozen=True):
    """`verdict`: "killed", "survived", or "unusable" (the tests could not be run); `output`: pytest's end."""

    verdict: str
    seconds: float
    output: str

    @property
    def noticed_by(self) -> str:
        """The test that failed, "" for none: a row is quicker with its name."""
        failed = (line.split(" ")[1] for line in self.output.splitlines() if line.startswith("FAILED "))
        return next(failed, "").rpartition("/")[2]


def copy_of_tree(target: Path) -> None:
    """What git would commit, compiled, and links to what is installed."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file() and not source.is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    for name in (".venv", ".cache", ".git"):  # the history: tests take the version before from it
        if (ROOT / name).exists():
            (target / name).symlink_to((ROOT / name).resolve())
    # By what a file holds, not by its date: a break and its end may have the same second and size.
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compiling, "shared", "services", "tests"], cwd=target, check=True)


@contextlib.contextmanager
def broken(tree: Path, mutant: Mutant) -> Iterator[None]:
    """The break stands in `tree` for the length of the block."""
    file = tree / mutant.file
    whole = file.read_text()
    text = whole.replace(mutant.was, mutant.becomes)
    if file.suffix == ".py":
        compile(text, mutant.file, "exec")
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(whole)


def run(
    tree: Path, tests: Sequence[str], *, stores: Path | None = None, limit_seconds: float = LIMIT_SECONDS
) -> Outcome:
    """The tests, ended at the first failure; over the stores that stand in the folder `stores`, if given."""
    started = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "--timeout",
        str(TEST_SECONDS),
        *(f"-pno:{plugin}" for plugin in UNUSED),
        *tests,
    ]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | ({STANDING: str(stores)} if stores else {})
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit_seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        output, code = "the tests did not end in time", None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    verdict = {_PASSED: "survived", _FAILED: "killed"}.get(code, "unusable")
    if verdict == "survived" and " passed" not in output:
        verdict = "unusable"  # every test was left out
    return Outcome(verdict, time.monotonic() - started, "\n".join(output.splitlines()[-25:]))
