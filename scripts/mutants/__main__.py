"""`python -m scripts.mutants`: each kept break is made in a copy of the tree; a test must fail for each.

First the tests run as the code stands: what fails then would "notice" any break.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.mutants.table import Mutant, Stale, mutants
from scripts.mutants.trial import Outcome
from scripts.mutants.workplace import Workplace


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


Work = Callable[[Workplace], None]


def _in_parallel(folders: Sequence[Path], works: Sequence[Work]) -> None:
    """Every work once, in as many threads as there are folders for a workplace."""
    waiting: queue.SimpleQueue[Work] = queue.SimpleQueue()
    for work in works:
        waiting.put(work)

    def drain(folder: Path) -> None:
        with Workplace(folder) as place:
            while True:
                try:
                    work = waiting.get_nowait()
                except queue.Empty:
                    return
                work(place)

    threads = [threading.Thread(target=drain, args=[folder]) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _trials(rows: Sequence[Mutant], folders: Sequence[Path]) -> list[tuple[Mutant, Outcome]]:
    results: list[tuple[Mutant, Outcome]] = []

    def trial(row: Mutant) -> Work:
        def work(place: Workplace) -> None:
            outcome = place.trial(row)
            results.append((row, outcome))
            took = f"{outcome.verdict:9}{outcome.seconds:6.1f} s"
            by = f"  by {outcome.noticed_by}" if len(row.tests) > 1 or "::" not in row.tests[0] else ""
            _say(f"{len(results):3}/{len(rows)}  {took}  {row.group}: {row.rule}{by}")

        return work

    _in_parallel(folders, [trial(row) for row in rows])
    return results


def _sound(rows: Sequence[Mutant], folders: Sequence[Path]) -> list[str]:
    """What fails without any break: every test once, those of one file in one folder."""
    tests = sorted({each for row in rows for each in row.tests})
    files = sorted({each.split("::")[0] for each in tests})
    shares = [
        [each for each in tests if files.index(each.split("::")[0]) % len(folders) == number]
        for number in range(len(folders))
    ]
    faults: list[str] = []

    def check(share: Sequence[str]) -> Work:
        def work(place: Workplace) -> None:
            outcome = place.check(share)
            _say(f"{len(share):3} tests{outcome.seconds:12.1f} s  without a break")
            if outcome.verdict != "survived":
                faults.append(outcome.output)

        return work

    _in_parallel(folders, [check(share) for share in shares if share])
    return faults


def main() -> int:
    """Exit code 0: every break was noticed. 1: some survived, or the table does not fit the code."""
    parser = argparse.ArgumentParser(prog="make mutants ARGS=…", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[""], help="rows whose group or rule holds one of these")
    parser.add_argument("--processes", type=int, default=2, help="copies of the tree at once (default: 2)")
    parser.add_argument("--list", action="store_true", help="print the rules and end")
    options = parser.parse_args()
    try:
        rows = [row for row in mutants() if any(text in f"{row.group}: {row.rule}" for text in options.only)]
    except Stale as error:
        _say(f"The table no longer fits the code:\n{error}")
        return 1
    if options.list or not rows:
        _say("\n".join(f"{row.group}: {row.rule}" for row in rows) or "No row matches.")
        return 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        folders = [Path(folder) / str(number) for number in range(max(1, options.processes))]
        if faults := _sound(rows, folders):
            _say("These fail without any break:\n" + "\n".join(faults))
            return 1
        results = _trials(rows, folders)
    left = [(row, outcome) for row, outcome in results if outcome.verdict != "killed"]
    _say(f"\n{len(rows)} breaks in {(time.monotonic() - started) / 60:.1f} min, {len(left)} not noticed")
    for row, outcome in left:
        _say(f"  {outcome.verdict}: {row.group}: {row.rule}\n    {row.file}: {row.was!r} → {row.becomes!r}")
        if outcome.verdict == "unusable":
            _say(outcome.output)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
