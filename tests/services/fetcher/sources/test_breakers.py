"""Which failure keeps whom from being asked, and for how long. A clock of our own; no store, no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from services.fetcher.http.errors import error_of_status
from services.fetcher.sources.breakers import (
    ADDRESSES_TO_OPEN,
    FORESEEN_SECONDS,
    PROBE_SECONDS,
    WITHIN_SECONDS,
    Breakers,
)
from services.fetcher.sources.probes import Asked, Kind
from shared.cache.service import CacheService
from shared.errors import OrchardError, TooLarge, UpstreamBlocked, UpstreamInvalid, UpstreamRefused
from shared.errors.passing import (
    CacheUnavailable,
    DeadlineExceeded,
    PassingError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from shared.models import BreakerState, UpstreamSource
from shared.telemetry.metrics import BREAKER_OPEN

OWN, OTHER = "http://own.example.com", "http://files.example.com"
SOURCE = UpstreamSource(id=1, protocol="pypi", name="pypi", url=f"{OWN}/simple/")
SECOND = UpstreamSource(id=2, protocol="pypi", name="second", url="http://second.example.com/simple/")


class Shared(CacheService):
    """What the cache Redis keeps of breakers, with its expiries on the test's clock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.values: dict[tuple[int, str], tuple[BreakerState, float]] = {}
        self.pauses: dict[tuple[int, str], float] = {}
        self.away = False

    def _left(self, key: tuple[int, str]) -> float:
        return max(0.0, self.pauses.get(key, 0.0) - self.world.now)

    async def read_breakers(
        self, protocol: str, source_id: int, names: Sequence[str]
    ) -> list[BreakerState | None]:
        if self.away:
            raise CacheUnavailable("away")
        found: list[BreakerState | None] = []
        for key in [(source_id, name) for name in names]:
            state, until = self.values.get(key, (None, 0.0))
            kept = state if state is not None and until > self.world.now else None
            found.append(kept and msgspec.structs.replace(kept, left_seconds=self._left(key)))
        return found

    async def write_breaker(self, protocol: str, breaker: BreakerState, *, kept_seconds: int = 600) -> None:
        if self.away:
            raise CacheUnavailable("away")
        key, until = (breaker.source_id, breaker.name), self.world.now + breaker.left_seconds
        self.values[key], self.pauses[key] = (breaker, until + kept_seconds), until

    async def clear_breaker(self, protocol: str, source_id: int, name: str = "index") -> None:
        self.values.pop((source_id, name), None)
        self.pauses.pop((source_id, name), None)

    async def try_probe(self, protocol: str, source_id: int, ttl: float, name: str = "index") -> bool:
        if self.away:
            raise CacheUnavailable("away")
        if self._left((source_id, name)):
            return False
        self.pauses[(source_id, name)] = self.world.now + ttl
        return True


@dataclass
class World:
    """Upstreams that answer by address, and one or more fetchers that share a cache."""

    now: float = 1000.0
    broken: dict[str, OrchardError] = field(default_factory=dict)  # by the beginning of the address
    asked: list[str] = field(default_factory=list)
    probed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shared = Shared(self)
        self.fetcher = self.another()

    def another(self) -> Breakers:
        return Breakers(self.shared, self._probe, monotonic=lambda: self.now)

    def _error(self, url: str) -> OrchardError | None:
        return next((error for start, error in self.broken.items() if url.startswith(start)), None)

    async def _probe(self, source: UpstreamSource, url: str) -> OrchardError | None:
        self.probed.append(url)
        await asyncio.sleep(0)
        return self._error(url)

    async def get(
        self, url: str, kind: Kind = "index", source: UpstreamSource = SOURCE, by: Breakers | None = None
    ) -> OrchardError | None:
        """One request: why it had no answer, None if it had. `asked` tells whether it was sent."""
        fetcher, asked = by or self.fetcher, Asked(source, url, kind)
        try:
            await fetcher.check(asked)
        except OrchardError as error:
            return error
        self.asked.append(url)
        error = self._error(url)
        if error is None:
            await fetcher.succeeded(asked)
        else:
            await fetcher.failed(asked, error)
        return error

    async def is_asked(self, url: str, kind: Kind = "index", source: UpstreamSource = SOURCE) -> bool:
        before = len(self.asked)
        await self.get(url, kind, source)
        return len(self.asked) > before


def answered(status: int, retry_after: str = "") -> OrchardError:
    error = error_of_status(status, {"retry-after": retry_after} if retry_after else {}, "upstream pypi")
    assert error is not None
    return error


def unreachable() -> OrchardError:
    error = UpstreamUnavailable("upstream pypi could not be reached (certificate)")
    error.about_host = True
    return error


def of_one() -> OrchardError:
    """As an Orchard says that its own upstream fails."""
    error = answered(503, "2")
    error.about_one = True
    return error


def page(name: str) -> str:
    return f"{OWN}/simple/{name}/"


PROBES: dict[str, tuple[str, Kind, UpstreamSource]] = {
    "the same": (page("bad0"), "index", SOURCE),
    "another page": (page("fine"), "index", SOURCE),
    "a file there": (f"{OWN}/files/fine.whl", "file", SOURCE),
    "a page of another host": (f"{OTHER}/simple/fine/", "index", SOURCE),
    "a file of another host": (f"{OTHER}/fine.whl", "file", SOURCE),
    "another source": ("http://second.example.com/simple/fine/", "index", SECOND),
}

CASES: dict[str, tuple[OrchardError, int, int, bool, set[str]]] = {
    # what fails: error, how many distinct pages, how often each, whether all of the host fails
    # → who is not asked right after it
    "one page once": (answered(503), 1, 1, False, set()),
    "one page twice": (answered(503), 1, 2, False, {"the same"}),
    "one page for ever": (answered(500), 1, 50, False, {"the same"}),
    "one silent page": (UpstreamTimeout("silent"), 1, 9, False, {"the same"}),
    "one page says 429": (answered(429, "120"), 1, 1, False, {"the same"}),
    "one page says 503 and for how long": (answered(503, "120"), 1, 1, False, {"the same"}),
    "two pages say 429": (answered(429, "120"), 2, 1, False, {"the same"}),
    "many pages say 429": (answered(429, "120"), 5, 1, False, {"the same", "another page"}),
    "many pages, the rest is well": (answered(503), 9, 3, False, {"the same"}),
    "all pages fail": (answered(503), 5, 2, True, {"the same", "another page"}),
    "all pages are silent": (UpstreamTimeout("silent"), 5, 2, True, {"the same", "another page"}),
    "the host is away": (unreachable(), 1, 2, True, {"the same", "another page", "a file there"}),
    "an Orchard's own upstream is away": (of_one(), 9, 3, False, {"the same"}),
    "credentials refused": (UpstreamRefused("401"), 9, 9, True, set()),
    "nonsense": (UpstreamInvalid("html"), 9, 9, True, set()),
    "egress": (UpstreamBlocked("private"), 9, 9, True, set()),
    "too large": (TooLarge("1 TB"), 9, 9, True, set()),
    "our pool is full": (DeadlineExceeded("pool"), 9, 9, True, set()),
    "we lack descriptors": (PassingError("EMFILE"), 9, 9, True, set()),
}


@pytest.mark.parametrize("case", CASES)
async def test_failure__who_is_left_alone_is_what_it_is_about(case: str) -> None:
    error, pages, times, whole_host, refused = CASES[case]
    for name, (url, kind, source) in PROBES.items():
        world = World()
        if whole_host:
            world.broken = {OWN: error}
        else:
            world.broken = {page(f"bad{number}"): error for number in range(pages)}
        for _ in range(times):
            for number in range(pages):
                await world.get(page(f"bad{number}"))
        assert await world.is_asked(url, kind, source) == (name not in refused), name


async def test_broken_page_in_a_loop__twelve_cold_healthy_ones_are_all_answered() -> None:
    world = World(broken={page("broken"): answered(500)})
    for number in range(12):
        for _ in range(4):
            await world.get(page("broken"))
        assert await world.get(page(f"cold{number}")) is None
        world.now += 0.5


async def test_three_broken_pages_in_a_loop__a_probe_of_a_good_one_keeps_the_rest_open() -> None:
    world = World(broken={page(f"bad{number}"): answered(500) for number in range(3)})
    assert await world.get(page("known")) is None
    for number in range(12):
        for bad in range(3):
            await world.get(page(f"bad{bad}"))
        assert await world.get(page(f"cold{number}")) is None
        world.now += 1.0
    assert set(world.probed) <= {page(f"cold{number}") for number in range(12)} | {page("known")}


async def test_success_between__nothing_opens() -> None:
    world = World()
    for number in range(20):
        world.broken = {page(f"n{number}"): answered(503)}
        await world.get(page(f"n{number}"))
        world.broken = {}
        assert await world.get(page("good")) is None
    assert not world.probed


async def test_failures_long_ago__do_not_count() -> None:
    world = World()
    for number in range(10):
        world.broken = {page(f"n{number}"): answered(503)}
        await world.get(page(f"n{number}"))
        world.now += WITHIN_SECONDS / (ADDRESSES_TO_OPEN - 1) + 1
    assert not world.probed


@pytest.mark.parametrize("fault", [answered(503), UpstreamTimeout("silent"), unreachable()])
@pytest.mark.parametrize("known", [True, False])
async def test_after_an_outage_of_any_length__cold_pages_are_there_within_six_seconds(
    fault: OrchardError, known: bool
) -> None:
    for outage in (1, 5, 25, 60, 3600):
        world = World()
        if known:
            await world.get(page("known"))
        world.broken = {OWN: fault}
        for second in range(outage):
            await world.get(page(f"n{second}"))
            world.now += 1.0
        world.broken = {}
        ended = world.now
        while await world.get(page("fresh")) is not None:
            world.now += 0.5
        assert world.now - ended <= 6.0


async def test_outage__the_upstream_is_asked_little() -> None:
    world = World(broken={OWN: answered(503)})
    for _ in range(600):
        await world.get(page(f"n{world.now}"))
        world.now += 0.1
    assert len(world.asked) <= ADDRESSES_TO_OPEN
    assert len(world.probed) <= 60 / 5 * 3 + 12


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after__what_we_tell_is_what_is_left(status: int) -> None:
    world = World(broken={page("n"): answered(status, "60")})
    await world.get(page("n"))
    for left in (60, 41, 2, 1):
        world.now = 1060.0 - left
        error = await world.get(page("n"))
        assert error is not None and error.retry_after_seconds == left
        assert error.code == answered(status).code
    world.now = 1060.0
    world.broken = {}
    assert await world.get(page("n")) is None


async def test_retry_after_of_several__kind_on_that_host_waits_and_is_not_probed_before() -> None:
    world = World(broken={page(f"n{number}"): answered(429, "60") for number in range(9)})
    for number in range(3):
        await world.get(page(f"n{number}"))
    for _ in range(59):
        error = await world.get(page("other"))
        assert error is not None and error.code == "upstream_rate_limited"
        world.now += 1.0
    assert not world.probed
    world.now += 1.0
    assert await world.get(page("other")) is None


async def test_own_memory_of_one_address__grows_to_five_seconds() -> None:
    world = World(broken={page("n"): answered(500)})
    await world.get(page("n"))
    lengths = []
    for _ in range(6):
        assert await world.is_asked(page("n"))
        began = world.now
        while (error := await world.get(page("n"))) is not None and not error.asked_to_wait:
            raise AssertionError("asked during its pause")
        assert error is not None
        lengths.append(error.retry_after_seconds)
        world.now = began + error.retry_after_seconds
    assert lengths == [1, 2, 4, 5, 5, 5]


async def test_many_at_once_after_a_pause__one_probe_of_all_processes() -> None:
    world = World(broken={OWN: unreachable()})
    await world.get(page("a"))
    await world.get(page("b"))
    world.broken = {}
    world.now += 5.0
    second = world.another()
    answers = await asyncio.gather(
        *(world.get(page(f"n{number}")) for number in range(20)), world.get(page("x"), by=second)
    )
    assert answers[:20] == [None] * 20
    assert len(world.probed) == 2  # the one that failed, the one that did not
    assert await world.get(page("x"), by=second) is None


async def test_probe_that_hangs__the_next_may_begin_and_the_slow_one_still_counts() -> None:
    world = World(broken={OWN: unreachable()})
    hanging: list[asyncio.Future[OrchardError | None]] = []

    async def hang(source: UpstreamSource, url: str) -> OrchardError | None:
        hanging.append(asyncio.get_running_loop().create_future())
        return await hanging[-1]

    fetcher = Breakers(world.shared, hang, monotonic=lambda: world.now)
    await world.get(page("a"), by=fetcher)
    first = asyncio.create_task(world.get(page("b"), by=fetcher))
    while not hanging:
        await asyncio.sleep(0)
    fetcher._leave((1, "host"), fetcher._probing[(1, "host")])  # as after PROBE_SECONDS
    error = await world.get(page("c"), by=fetcher)
    assert error is not None and error.retry_after_seconds == PROBE_SECONDS
    world.now += PROBE_SECONDS
    second = asyncio.create_task(world.get(page("d"), by=fetcher))
    while len(hanging) < 2:
        await asyncio.sleep(0)
    world.broken = {}
    hanging[0].set_result(None)  # slow, but it answered
    assert await first is None
    hanging[1].set_result(None)
    assert await second is None


async def test_without_redis__each_goes_by_what_it_saw() -> None:
    world = World(broken={OWN: unreachable()})
    world.shared.away = True
    await world.get(page("a"))
    assert not await world.is_asked(page("b"))
    world.broken = {}
    world.now += 5.0
    assert await world.is_asked(page("b"))


async def test_wall_clock__plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (-3600.0, 3600.0):
        world = World(broken={page("n"): answered(429, "30")})
        await world.get(page("n"))
        monkeypatch.setattr("services.fetcher.sources.breakers.time.time", lambda step=step: 2e9 + step)
        error = await world.get(page("n"))
        assert error is not None and error.retry_after_seconds == 30
        world.now += 30.0
        assert await world.is_asked(page("n"))


async def test_metric__names_what_is_left_alone__and_forgets_what_nobody_asked_for_again() -> None:
    BREAKER_OPEN.clear()
    world = World(broken={OWN: unreachable()})
    await world.get(page("a"))
    world.fetcher.show_open()
    assert [sample.labels for sample in BREAKER_OPEN.collect()[0].samples] == [
        {"source": "pypi", "what": "host"}
    ]
    world.now += 61.0
    world.fetcher.show_open()
    assert not BREAKER_OPEN.collect()[0].samples


async def test_foreseen__counts_once_and_for_a_moment() -> None:
    world = World()
    url = f"{SOURCE.url}page/"
    asked = Asked(SOURCE, url, "index")
    reads: list[int] = []
    read = world.shared.read_breakers

    async def counted(protocol: str, source_id: int, names: Sequence[str]) -> list[BreakerState | None]:
        reads.append(source_id)
        return await read(protocol, source_id, names)

    world.shared.read_breakers = counted  # type: ignore[method-assign]
    await world.fetcher.foresee(asked)
    await world.fetcher.check(asked)
    assert len(reads) == 1
    await world.fetcher.check(asked)
    assert len(reads) == 2
    await world.fetcher.foresee(asked)
    world.now += FORESEEN_SECONDS + 0.01
    await world.fetcher.check(asked)
    assert len(reads) == 4
    await world.fetcher.foresee(asked)
    await world.fetcher.check(asked, again=True)
    assert len(reads) == 6
    for _ in range(2):
        await world.fetcher.failed(asked, UpstreamTimeout("silent"))
    await world.fetcher.foresee(asked)
    with pytest.raises(UpstreamUnavailable):
        await world.fetcher.check(asked)
    await world.fetcher.foresee(Asked(SOURCE, "no address", "index"))  # says so when it is asked
