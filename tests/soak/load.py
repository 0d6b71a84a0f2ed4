"""Clients that ask for everything in every way, and judge each answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from shared.errors import LastingError
from shared.protocols import PROTOCOLS
from tests.soak.catalogue import Catalogue, Item, problem_code

# Without a byte for longer than a client of the protocol is made to wait: hung.
SILENCE_SECONDS = {each.name: each.setup.client_seconds + 10 for each in PROTOCOLS}
LONGEST_SILENCE = max(SILENCE_SECONDS.values())
ALLOWED = frozenset({200, 206, 304, 404, 503})
# What an upstream refuses or gets wrong is told as such (docs/decisions/0024), and asked anew next time.
LASTING = frozenset(each.code for each in LastingError.__subclasses__())
LASTING_STATUSES = frozenset({LastingError.status, LastingError.file_status})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request went. `kind`: right, wrong, hung, refused, broken, busy, told, odd or lost."""

    at: float  # time.monotonic() of its end
    seconds: float
    kind: str
    item: Item
    detail: str = ""


class Load:
    """Some clients at once, until told to stop; `outcomes` is what they saw."""

    def __init__(self, base: str, catalogue: Catalogue, seed: int, *, pause: float = 0.2) -> None:
        self.base = base
        self.outcomes: list[Outcome] = []
        self._catalogue = catalogue
        self._seed = seed
        self._pause = pause
        self._tasks: list[asyncio.Task[None]] = []
        self.served: dict[str, Item] = {}  # answered rightly at least once: must be there offline

    def start(self, clients: int) -> None:
        self._tasks = [asyncio.create_task(self._client(self._seed + n)) for n in range(clients)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask_all(self, items: Iterable[Item], *, clients: int = 8) -> list[Outcome]:
        """Each item once, whole."""
        found: list[Outcome] = []
        waiting = list(items)

        async def work() -> None:
            async with _session() as session:
                while waiting:
                    found.append(await self._ask(session, waiting.pop(), "GET", {}))

        await asyncio.gather(*(work() for _ in range(clients)))
        return found

    async def _client(self, seed: int) -> None:
        chance = random.Random(seed)
        async with _session() as session:
            while True:
                item = self._catalogue.some(chance)
                method, headers = "GET", dict(item.headers)
                way = chance.random()
                if way < 0.08:
                    method = "HEAD"
                elif way < 0.2 and item.kind == "file":
                    first = chance.randrange(len(item.content))
                    last = chance.choice(["", str(min(len(item.content) - 1, first + 5000))])
                    headers["range"] = f"bytes={first}-{last}"
                elif way < 0.25:
                    headers["if-none-match"] = '"nothing-of-the-kind"'
                outcome = await self._ask(session, item, method, headers)
                self.outcomes.append(outcome)
                await asyncio.sleep(chance.uniform(0, 2 * self._pause))

    async def _ask(
        self, session: aiohttp.ClientSession, item: Item, method: str, headers: dict[str, str]
    ) -> Outcome:
        began = time.monotonic()
        kind, detail = await self._judged(session, item, method, headers or dict(item.headers))
        now = time.monotonic()
        if kind == "right" and method == "GET" and item.kind != "absent" and "range" not in headers:
            self.served[f"{item.path} {item.headers}"] = item
        return Outcome(now, now - began, kind, item, detail)

    async def _judged(
        self, session: aiohttp.ClientSession, item: Item, method: str, headers: dict[str, str]
    ) -> tuple[str, str]:
        head_came = False
        try:
            timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_SECONDS[item.protocol])
            address = self.base + item.path
            async with session.request(method, address, headers=headers, timeout=timeout) as answer:
                head_came = True
                body = await answer.read()
                return _verdict(item, method, headers, answer, body)
        except TimeoutError:
            return "hung", f"{method} {headers.get('range', '')}"
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError):
            return ("broken" if head_came else "refused"), ""
        except aiohttp.ClientError as error:
            return "broken", type(error).__name__


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


def _verdict(
    item: Item, method: str, headers: dict[str, str], answer: aiohttp.ClientResponse, body: bytes
) -> tuple[str, str]:
    status = answer.status
    code = problem_code(body) if status >= 400 else ""
    if status == 503:
        complete = code != "" and "retry-after" in answer.headers
        return ("busy", code) if complete or method == "HEAD" else ("odd", f"bare 503 {body[:60]!r}")
    if status == 404:
        if item.kind == "absent":
            return "right", ""
        return "lost", f"404 {code} {body[:80]!r}"
    if code in LASTING or (method == "HEAD" and status in LASTING_STATUSES):  # a HEAD tells no code
        return "told", code
    if status not in ALLOWED or (status == 304 and "if-none-match" not in headers):
        return "odd", f"{status} {code} {body[:80]!r}"
    if item.kind == "absent" and status in (200, 206):
        return "wrong", f"{method} {status} {dict(answer.headers)} for what is not there"
    if method == "HEAD" or status == 304:
        length = answer.headers.get("content-length")
        if method == "HEAD" and item.kind == "file" and length not in (None, str(len(item.content))):
            return "wrong", f"HEAD tells {length} bytes of {len(item.content)}"
        return "right", ""
    start = 0
    if status == 206:
        with contextlib.suppress(IndexError, ValueError):
            start = int(answer.headers["content-range"].split(" ")[1].split("-")[0])
    if item.is_right(status, body, start):
        return "right", ""
    return (
        "wrong",
        f"{status} {len(body)} bytes, {answer.headers.get('x-cache', '')} {headers.get('range', '')}",
    )
