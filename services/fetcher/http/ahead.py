"""Which origins to connect to before they are asked: an index leads to the hosts of its files."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

from services.fetcher.http.egress import Origin

MOST_ORIGINS = 4  # of a source; an index may name any number
PAUSE_SECONDS = 10.0  # a source that is asked after so long is at the beginning of a burst
REMEMBERED_SECONDS = 3600.0


class Ahead:
    """The origins that each source's requests went to lately. Nothing is known at start: a source that nobody
    asked for is not contacted."""

    def __init__(self) -> None:
        self._seen: dict[int, OrderedDict[Origin, float]] = {}

    def asked(self, source_id: int, own: Origin, origin: Origin) -> list[str]:
        """A source's request goes to `origin`. The addresses to connect to now: its other origins, when it is
        asked at its own after a pause."""
        now = monotonic()
        seen = self._seen.setdefault(source_id, OrderedDict())
        before = seen.get(origin, 0.0)
        seen[origin] = now
        seen.move_to_end(origin)
        if len(seen) > MOST_ORIGINS:
            seen.popitem(last=False)
        if origin != own or now - before < PAUSE_SECONDS:
            return []
        return [_url(each) for each, at in seen.items() if each != own and now - at < REMEMBERED_SECONDS]

    def forget(self, source_id: int) -> None:
        """The source was changed or removed."""
        self._seen.pop(source_id, None)


def _url(origin: Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
