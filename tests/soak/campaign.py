"""The campaign: load all the time, one fault after another, then the proof that nothing is lost or left."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.soak.catalogue import Catalogue
from tests.soak.damage import DAMAGES
from tests.soak.faults import FAULTS, Fault, Scene
from tests.soak.kill_points import kill_points
from tests.soak.load import Load, Outcome
from tests.soak.system import PARTS, System
from tests.support.upstream import Upstream

NEVER = ("wrong", "hung", "odd", "lost")
CALM_SECONDS = 4.0  # without any trouble: it is over
RECOVERY_SECONDS = 45.0  # a fault's trouble must be over by then
FIRST_PACKAGES = 25
MEMORY_FACTOR, MEMORY_SLACK = 1.5, 100  # of what a part may grow to, in MB


@dataclass
class Row:
    """What was seen of one fault, from its beginning until calm."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    back: float = 0.0  # seconds from its end to the last trouble
    notes: list[str] = field(default_factory=list)

    def line(self) -> str:
        shown = "  ".join(
            f"{self.counts[kind]:>5}" for kind in ("right", "busy", "told", "broken", "refused", *NEVER)
        )
        return f"{self.name:<44}{shown}  {self.back:5.1f}  {'; '.join(self.notes)}"


HEADING = f"{'fault':<44}right   busy   told  broken  refused  wrong  hung   odd   lost   back"


class Campaign:
    """One run. `violations` is empty if every invariant held."""

    def __init__(
        self, system: System, upstream: Upstream, seed: int, say: Callable[[str], None], *, clients: int = 16
    ) -> None:
        self.system, self.upstream, self._say, self._clients = system, upstream, say, clients
        self.chance = random.Random(seed)
        self.catalogue = Catalogue(upstream, seed)
        self.load = Load(system.base, self.catalogue, seed)
        self.scene = Scene(system, upstream, self.chance)
        self.violations: list[str] = []
        self.requests: Counter[str] = Counter()

    async def run(
        self,
        *,
        seconds: float = 0.0,
        rounds: int = 0,
        faults: Sequence[Fault] = FAULTS,
        power_cuts: int,
        points: int,
    ) -> None:
        """All of it: random faults for `seconds`, or each of them so many times."""
        self._say(f"started in {self.system.start():.1f} s")
        self.catalogue.grow(FIRST_PACKAGES)
        await self._all_right("before the first fault")
        memory = self.system.memory()
        await self._faults(seconds, rounds, faults)
        for _ in range(power_cuts):
            await self._power_cut()
        for line in await kill_points(self.system, self.upstream, points, self.chance):
            self._say(line)
            if "WRONG" in line:
                self.violations.append(line)
        await self._at_rest(memory)
        await self._offline()

    async def _faults(self, seconds: float, rounds: int, faults: Sequence[Fault]) -> None:
        self._say(HEADING)
        possible = [each for each in faults if each.possible(self.scene)]
        for each in faults:
            if each not in possible:
                self._say(f"{each.name:<44}left out: not possible on this machine")
        until = time.monotonic() + seconds
        waiting = possible * rounds
        self.load.start(self._clients)
        while waiting or time.monotonic() < until:
            if not waiting:
                waiting = self.chance.sample(possible, len(possible))
            await self._fault(waiting.pop())
        await self.load.stop()

    async def _fault(self, fault: Fault) -> None:
        self.catalogue.grow(2)
        first = len(self.load.outcomes)
        row = Row(fault.name)
        growing = asyncio.create_task(self._grow())
        try:
            await fault.run(self.scene)
        except Exception as error:  # the fault itself failed: say so, and go on
            row.notes.append(f"{type(error).__name__}: {error}")
        finally:
            growing.cancel()
        ended = time.monotonic()
        while time.monotonic() < ended + RECOVERY_SECONDS:
            await asyncio.sleep(1)
            troubled = [o.at for o in self.load.outcomes[first:] if o.kind != "right"]
            if time.monotonic() - max([*troubled, ended]) > CALM_SECONDS and self.system.is_ready():
                break
        else:
            row.notes.append(f"not over after {RECOVERY_SECONDS:.0f} s")
            self.violations.append(f"{fault.name}: trouble for more than {RECOVERY_SECONDS:.0f} s")
        seen = self.load.outcomes[first:]
        row.back = max([0.0, *(o.at - ended for o in seen if o.kind != "right")])
        self._count(row, seen)
        self._say(row.line())

    async def _grow(self) -> None:
        while True:
            await asyncio.sleep(3)
            self.catalogue.grow(1)

    async def _power_cut(self) -> None:
        self.load.start(self._clients)
        await asyncio.sleep(self.chance.uniform(2, 5))
        self.system.cut_power()
        await self.load.stop()
        self.load.outcomes.clear()
        name, harm = self.chance.choice(DAMAGES)
        harm(self.system.data)
        try:
            seconds = await asyncio.to_thread(self.system.start)
        except AssertionError as error:
            self.violations.append(f"power cut, {name}: no start: {str(error)[-800:]}")
            raise
        self._say(f"power cut, {name}: started in {seconds:.1f} s")
        await self._all_right(f"after a power cut, {name}")

    async def _all_right(self, when: str) -> None:
        """Everything that ever was is asked once, and again what was busy."""
        left = list(self.catalogue.items)
        until = time.monotonic() + RECOVERY_SECONDS
        while left:
            outcomes = await self.load.ask_all(left)
            self._count(Row(when), outcomes)
            left = [o.item for o in outcomes if o.kind in ("busy", "told", "broken", "refused")]
            if left and time.monotonic() > until:
                bad = [f"{o.kind} {o.detail} {o.item.path}" for o in outcomes if o.kind != "right"]
                self.violations.append(
                    f"{when}: {len(left)} of {len(self.catalogue.items)} not right: {bad[:5]}"
                )
                return
            if left:
                await asyncio.sleep(1)
        self._say(f"{when}: all {len(self.catalogue.items)} addresses answer rightly")

    async def _at_rest(self, memory: dict[str, int]) -> None:
        await self._all_right("at the end")
        until = time.monotonic() + RECOVERY_SECONDS
        while (left := self.system.leftovers()) and time.monotonic() < until:
            await asyncio.sleep(1)
        if left:
            self.violations.append(f"left over: {left[:10]}")
        now = self.system.memory()
        shown = "  ".join(f"{part} {memory[part]} -> {now[part]}" for part in PARTS)
        self._say(f"at rest: {len(left)} leftovers; resident MB: {shown}")
        for part in PARTS:
            if now[part] > memory[part] * MEMORY_FACTOR + MEMORY_SLACK:
                self.violations.append(f"{part} grew from {memory[part]} to {now[part]} MB")

    async def _offline(self) -> None:
        """With every upstream away, what was served once is served again, byte for byte."""
        self.system.stop()
        self.system.offline = True
        await asyncio.to_thread(self.system.start)
        served = list(self.load.served.values())
        outcomes = await self.load.ask_all(served)
        self._count(Row("offline"), outcomes)
        bad = [f"{o.kind} {o.detail} {o.item.path}" for o in outcomes if o.kind != "right"]
        self._say(f"offline: {len(served) - len(bad)} of {len(served)} answers ever served are served again")
        if bad:
            self.violations.append(f"offline: {bad[:5]}")
        self.system.stop()

    def _count(self, row: Row, outcomes: Sequence[Outcome]) -> None:
        row.counts.update(o.kind for o in outcomes)
        self.requests.update(o.kind for o in outcomes)
        for o in outcomes:
            if o.kind in NEVER or (o.kind == "told" and not row.name.startswith("upstream")):
                what = f"{o.item.protocol} {o.item.path} {o.detail} after {o.seconds:.1f} s"
                self.violations.append(f"{row.name}: {o.kind}: {what}")
