"""The ways in which a client can try to get a file's bytes, and what it has together in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.gateway import RawResponse, raw_request


@dataclass
class Haul:
    """All that one client got: answers, and the bytes of the file by their place in it."""

    port: int
    path: str
    size: int
    answers: list[RawResponse] = field(default_factory=list)
    got: bytearray = field(default_factory=bytearray)
    known: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.got, self.known = bytearray(self.size), bytearray(self.size)

    def ask(self, wanted: str = "", method: str = "GET") -> RawResponse:
        """One request, with a Range header unless `wanted` is empty."""
        headers = {**self.headers, **({"range": wanted} if wanted else {})}
        answer = raw_request(self.port, self.path, method, headers, timeout=60)
        self.answers.append(answer)
        start = 0
        if answer.status == 206:
            start = int(answer.headers["content-range"].split()[1].split("-")[0])
        if answer.status in (200, 206):
            end = start + len(answer.body)
            self.got[start:end] = answer.body
            self.known[start:end] = b"\1" * len(answer.body)
        return answer

    @property
    def is_whole(self) -> bool:
        """Whether the client can put the whole file together."""
        return self.size > 0 and all(self.known)

    @property
    def words(self) -> str:
        """The answers in short: status, X-Cache, how it ended."""
        shown = [
            f"{each.status} {each.headers.get('x-cache', '-')}{'' if each.complete else ' cut'}"
            for each in self.answers
        ]
        first, more = shown[0], len(shown) - 1
        return first + (f" … {shown[-1]} ({more} more)" if more else "")


Way = Callable[[Haul], object]


def pieces(count: int) -> Way:
    def way(haul: Haul) -> None:
        length = -(-haul.size // count)
        for start in range(0, haul.size, length):
            haul.ask(f"bytes={start}-{min(start + length, haul.size) - 1}")

    return way


def resumed(haul: Haul) -> None:
    """What came broken is gone on with, as pip and Maven do."""
    got = len(haul.ask().body)
    if got < haul.size:
        haul.ask(f"bytes={got}-")


def tail_then_whole(haul: Haul) -> None:
    """As uv reads a wheel's directory; then the whole."""
    haul.ask(f"bytes=-{haul.size // 4}")
    haul.ask()


def whole_then_tail(haul: Haul) -> None:
    haul.ask()
    haul.ask("bytes=-2000")


COLD_WAYS: dict[str, Way] = {
    "whole": lambda haul: haul.ask(),
    "range 0-": lambda haul: haul.ask("bytes=0-"),
    "range 0-last": lambda haul: haul.ask(f"bytes=0-{haul.size - 1}"),
    "range beyond the end": lambda haul: haul.ask(f"bytes=0-{haul.size + 99}"),
    "range -size": lambda haul: haul.ask(f"bytes=-{haul.size}"),
    "several ranges": lambda haul: haul.ask(f"bytes=0-9,10-{haul.size}"),
    "two halves": pieces(2),
    "sixteen pieces": pieces(16),
    "resumed": resumed,
    "tail, then whole": tail_then_whole,
    "whole, then tail": whole_then_tail,
}
"""Ways to the bytes of a file that is not stored."""
