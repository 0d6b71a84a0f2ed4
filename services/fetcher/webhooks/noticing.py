"""`Noticing`: what webhooks are told of that no row tells: upstreams that fail, and dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.fetcher.webhooks.rows import WebhookRows
from shared.cache.service import CacheService
from shared.models import UpstreamSource
from shared.queue.dead import DeadLetters, KeptLetter
from shared.queue.jobs import QUEUES
from shared.queue.keys import DEAD_KEPT
from shared.redis import clock

LASTING_SECONDS = 30.0  # a breaker that is open for a moment is no news
LETTERS = 100  # of a queue at a time
OVERLAP_SECONDS = 300.0  # letters may come so late: of other clocks, or pushed by who was held up
_UPSTREAM = "upstream:"


class Noticing:
    """Raises what the stores raise: the next look goes on."""

    def __init__(
        self,
        rows: WebhookRows,
        cache: CacheService,
        letters: DeadLetters,
        *,
        sources: Callable[[], Iterable[UpstreamSource]],
        lasting: float = LASTING_SECONDS,
    ) -> None:
        self._rows = rows
        self._cache = cache
        self._letters = letters
        self._sources = sources
        self._lasting = lasting

    async def look(self) -> None:
        """Once, by one fetcher at a time."""
        await self._look_at_upstreams()
        for queue in QUEUES:
            await self._look_at_letters(queue)

    async def _look_at_upstreams(self) -> None:
        failing: list[str] = []
        for source in self._sources():
            if not source.enabled:
                continue
            breakers = await self._cache.open_breakers(source.protocol, source.id)
            breakers = [each for each in breakers if not each.name.startswith("one@")]
            if not breakers:
                continue
            name = f"{source.protocol}/{source.name}"
            failing.append(_UPSTREAM + name)
            data = {
                "upstream": name,
                "what": [each.name for each in breakers],
                "reason": breakers[0].reason,
                "message": breakers[0].message,
            }
            await self._rows.failing(_UPSTREAM + name, self._lasting, "orchard.upstream.failing", name, data)
        await self._rows.recovered(_UPSTREAM, failing, "orchard.upstream.recovered")

    async def _look_at_letters(self, queue: str) -> None:
        key = f"dead:{queue}"
        now = clock.now()
        letters = await self._after(queue, await self._rows.last(key, _place(now, "")))
        if not letters:
            return
        known = await self._rows.told_since(key)
        for place, kept in sorted(letters.items()):
            if place in known:
                continue
            letter = kept.letter
            data = {
                "id": kept.id,
                "queue": queue,
                "job_id": letter.job_id[:500],
                "reason": letter.reason[:500],
                "tries": letter.tries,
                "count": letter.count,
                "at": letter.at,
                "job": kept.fields,
            }
            await self._rows.once(key, place, "orchard.job.dead", f"{queue}/{kept.id}", data)
        await self._rows.up_to(key, _place(now - OVERLAP_SECONDS, ""))

    async def _after(self, queue: str, last: str) -> dict[str, KeptLetter]:
        """The letters with later places, by these. They lie by when they were pushed, which is about when
        they were written: a whole page of earlier ones is followed by none."""
        found: dict[str, KeptLetter] = {}
        for start in range(0, DEAD_KEPT, LETTERS):
            page = await self._letters.list(queue, start=start, limit=LETTERS)
            later = {place: each for each in page if (place := _place(each.letter.at, each.id)) > last}
            found |= later
            if not later:
                break
        return found


def _place(at: float, letter_id: str) -> str:
    """In an order of texts that is that of times."""
    return f"{at:020.6f} {letter_id}"
