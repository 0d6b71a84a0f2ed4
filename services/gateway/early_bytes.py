"""Which bytes of files that are not verified yet have gone out: never so many that a client has the whole.

docs/decisions/0020-one-gate.md. Whole transfers hold back an end; ranges passed through from upstream may
give that very end (a wheel's directory is there). So what both gave is written down per file, and
each is bounded by what the other has given.
"""

from __future__ import annotations

from collections import OrderedDict

HELD_BYTES = 1024
"""So much of a file's end waits for the verdict; half of a file that is shorter than twice that."""

MOST_FILES = 4096  # remembered: a file that was never sealed is forgotten at last

Interval = tuple[int, int]  # [start, end)


class EarlyBytes:
    """Of one gateway, by the id of the job that fetches the file."""

    def __init__(self) -> None:
        self._out: OrderedDict[str, list[Interval]] = OrderedDict()

    def note(self, job_id: str, start: int, end: int) -> None:
        """These bytes went out, not verified."""
        self._out[job_id] = _merged([*self._out.get(job_id, ()), (start, end)])
        self._out.move_to_end(job_id)
        if len(self._out) > MOST_FILES:
            self._out.popitem(last=False)

    def may_relay(self, job_id: str, start: int, end: int, size_bytes: int) -> bool:
        """Whether a range may be passed through before the verdict: with all that went out it must be no
        more than half of the file."""
        together = _merged([*self._out.get(job_id, ()), (start, end)])
        return sum(last - first for first, last in together) <= size_bytes // 2

    def limit(self, job_id: str, size_bytes: int) -> int:
        """Where the end begins that every verified transfer of the file holds back."""
        end = size_bytes
        for first, last in self._out.get(job_id, ()):
            if last == size_bytes and first > 0:
                end = first  # a range gave the last bytes away: hold back what stands before them
        return end - min(HELD_BYTES, max(1, end // 2))

    def forget(self, job_id: str) -> None:
        """The file is verified, or will never be."""
        self._out.pop(job_id, None)


def _merged(intervals: list[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
