"""The states of a job against a model, on a real Redis: any order of enqueueing, claiming, losing, ending.

Time is moved by hand: a lease runs out when its claim is deleted and its due time lowered. A worker that
lost one does not know it and goes on: renews, ends, gives back, tells. From a job whose effect was written
another follows, which is put in by whichever run ends the job. After each step Redis must hold what the model
says, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.errors import InternalError
from shared.queue import keys
from shared.queue.context import JobContext
from shared.queue.dead import DeadLetters
from shared.queue.events import Claim, Event
from shared.queue.jobs import AHEAD, IN_USE, INDEX, REFRESH, FetchIndex, RenderIndex
from shared.queue.keys import DeadLetter
from shared.queue.leases import Leases
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from tests.shared.queue.queue_support import job, queue_client
from tests.support.stores import RedisAddress

LEASE_SECONDS = 600.0  # none runs out by itself
FOLLOWS = {job("a").id: job("after-a"), job("b").id: job("after-b")}
CHANGED = RenderIndex("pypi", "a", variant=IN_USE)  # what is asked for while it runs is done after it
IDS = st.sampled_from([*FOLLOWS, CHANGED.id])
KINDS = {"fetch_index": FetchIndex, "render_index": RenderIndex}
LANES = (INDEX, REFRESH, AHEAD)  # the most urgent first
WORKERS = (INDEX, *LANES)
WITHOUT_EXPIRY = {
    keys.GENERATION_KEY,
    *(key(queue) for queue in LANES for key in (keys.queue_key, keys.tokens_key, keys.dead_key)),
}


@dataclass
class Known:
    """What the model knows of one job that is not ended."""

    queue: str
    due: bool = True
    tries: int = 0
    last: int = 0  # generation of its last claim
    runs: int = 0  # the generation that holds it now; 0: it waits
    again: bool = False  # it is asked for since that began


@dataclass
class Model:
    jobs: dict[str, Known] = field(default_factory=dict)
    # By the job, the one that was given up longest ago first: how it was given up last.
    letters: dict[str, dict[str, str]] = field(default_factory=lambda: {queue: {} for queue in LANES})
    tries: dict[str, int] = field(default_factory=dict)  # of jobs that ended and whose count is kept
    highest: int = 0
    owed: set[str] = field(default_factory=set)  # jobs whose effect stands, and what follows is not put in

    def holds(self, run: JobContext, queue: str) -> bool:
        """Whether this run is the one that may change its job: it holds it, or nobody claimed it since."""
        known = self.jobs.get(run.job_id)
        if known is None or known.queue != queue:
            return False
        if known.runs:
            return known.runs == run.generation
        return (known.last, known.tries) == (run.generation, run.try_number)


class Jobs(RuleBasedStateMachine):
    redis: RedisClient
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.run(self.redis.raw.flushdb())
        self.queue = JobQueue(self.redis)
        self.letters = DeadLetters(self.redis)
        self.model = Model()
        self.workers = [
            Leases(self.redis, queue, seconds=LEASE_SECONDS, tags=list(KINDS), address=lambda: "127.0.0.1:1")
            for queue in WORKERS
        ]
        self.numbers: set[int] = set()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    # --- producers --------------------------------------------------------------------------------

    @rule(name=st.sampled_from(["a", "b"]), queue=st.sampled_from(LANES), deferred=st.booleans())
    def enqueue(self, name: str, queue: str, deferred: bool) -> None:
        self._enqueue(job(name, background=queue == REFRESH, guessed=queue == AHEAD), deferred)

    @rule(deferred=st.booleans())
    def something_changes(self, deferred: bool) -> None:
        self._enqueue(CHANGED, deferred)

    @rule()
    def something_changes_in_a_run(self) -> None:
        self._enqueue(CHANGED, deferred=False)
        self.claim(0, 3)
        self._enqueue(CHANGED, deferred=False)

    def _enqueue(self, wanted: FetchIndex | RenderIndex, deferred: bool) -> None:
        found = self.run(self.queue.enqueue(wanted, defer_seconds=50 if deferred else 0))
        known = self.model.jobs.get(wanted.id)
        assert found.accepted == (known is None)
        assert (found.claim.generation if found.claim else 0) == (known.runs if known else 0)
        assert found.before <= self.model.highest
        self._enqueued(wanted, deferred=deferred)

    def _enqueued(self, wanted: FetchIndex | RenderIndex, *, deferred: bool) -> None:
        known = self.model.jobs.get(wanted.id)
        if known is None:
            self.model.jobs[wanted.id] = Known(
                wanted.runs_in, not deferred, tries=self.model.tries.pop(wanted.id, 0)
            )
        elif known.runs:
            known.again = wanted.again
        else:
            if LANES.index(wanted.runs_in) < LANES.index(known.queue):
                known.queue, known.due = wanted.runs_in, not deferred
            elif wanted.runs_in == known.queue:
                known.due = known.due or not deferred

    @rule(job_id=IDS)
    def time_passes_until_a_deferred_one_is_due(self, job_id: str) -> None:
        known = self.model.jobs.get(job_id)
        if known is not None and not known.runs:
            self.run(self.redis.raw.zadd(keys.queue_key(known.queue), {job_id: 1}, xx=True))
            known.due = True

    # --- workers ----------------------------------------------------------------------------------

    @rule(worker=st.integers(0, 3), most=st.integers(1, 3))
    def claim(self, worker: int, most: int) -> None:
        queue = WORKERS[worker]
        due = {job_id for job_id, each in self.model.jobs.items() if self._is_due(each, queue)}
        _, runs = self.run(self.workers[worker].claim(most, woken=False))
        assert len(runs) == min(most, len(due)) == len({run.job_id for run in runs} & due)
        for run in runs:
            known = self.model.jobs[run.job_id]
            assert run.generation > self.model.highest, "generations rise only, over all jobs"
            assert run.generation not in self.numbers
            known.tries += 1
            assert run.try_number == known.tries
            assert run.taken_over == bool(known.last), "the next run knows that one did not end"
            known.runs = known.last = self.model.highest = run.generation
            known.again = False
            self.numbers.add(run.generation)
            self.workers[worker].held[run.generation] = run

    @staticmethod
    def _is_due(known: Known, queue: str) -> bool:
        return known.queue == queue and known.due and not known.runs

    @rule(job_id=IDS)
    def lease_runs_out(self, job_id: str) -> None:
        known = self.model.jobs.get(job_id)
        if known is not None and known.runs:
            self.run(self.redis.raw.delete(keys.claim_key(job_id)))
            self.run(self.redis.raw.zadd(keys.queue_key(known.queue), {job_id: 1}, xx=True))
            known.runs, known.due = 0, True

    @rule(job_id=IDS, worker=st.integers(0, 3))
    def is_taken_over(self, job_id: str, worker: int) -> None:
        self.lease_runs_out(job_id)
        self.claim(worker, 3)

    @rule(worker=st.integers(0, 3))
    def renew(self, worker: int) -> None:
        leases = self.workers[worker]
        keeps = {run.generation: self.model.holds(run, leases.queue) for run in leases.held.values()}
        held = dict(leases.held)
        self.run(leases.renew())
        for generation, run in held.items():
            assert run.is_current() == keeps[generation]
            self._settle(leases, run, keeps[generation])

    @precondition(lambda self: any(each.held for each in self.workers))
    @rule(data=st.data(), how=st.sampled_from(["done", "failed", "dead"]))
    def end(self, data: st.DataObject, how: str) -> None:
        leases, run = self._some_run(data)
        may = self.model.holds(run, leases.queue)
        if run.taken_over and how != "dead" and run.job_id in FOLLOWS:
            run.follow(FOLLOWS[run.job_id])
        event = None
        letter = b""
        if how == "done":
            assert self.run(run.publish("done")) == may
        else:
            event = Event(run.job_id, "failed", run.generation, error=InternalError("x").to_value())
        if how == "dead":
            kept = DeadLetter(run.job_id, f"{run.generation}", run.try_number, 0.0, run.payload)
            letter = msgspec.json.encode(kept)
        self.run(leases.finish(run, event, letter))
        assert run.is_current() == may
        del leases.held[run.generation]
        if may:
            ended = self.model.jobs.pop(run.job_id)
            if how == "dead":
                letters = self.model.letters[leases.queue]
                letters.pop(run.job_id, None)
                letters[run.job_id] = f"{run.generation}"
                self.model.tries[run.job_id] = ended.tries
            elif ended.again:
                self.model.jobs[run.job_id] = Known(ended.queue)
            for following, _ in run.following:
                self._enqueued(following, deferred=False)
            if run.following or how == "dead":  # a dead one has its letter
                self.model.owed.discard(run.job_id)
            told = self.run(self.queue.read_state(run.job_id))[1]
            assert told.generation == run.generation

    @precondition(lambda self: any(each.held for each in self.workers))
    @rule(data=st.data())
    def write_the_effect(self, data: st.DataObject) -> None:
        leases, run = self._some_run(data)
        if self.model.holds(run, leases.queue) and run.job_id in FOLLOWS:
            run.follow(FOLLOWS[run.job_id])
            self.model.owed.add(run.job_id)

    @precondition(lambda self: any(each.held for each in self.workers))
    @rule(data=st.data(), delay=st.sampled_from([0.0, 50.0]))
    def give_back(self, data: st.DataObject, delay: float) -> None:
        leases, run = self._some_run(data)
        known = self.model.jobs.get(run.job_id)
        self.run(leases.give_back([run], delay_seconds=delay))
        del leases.held[run.generation]
        if known is not None and known.runs == run.generation:
            known.runs, known.due = 0, not delay
            known.tries -= 1

    @precondition(lambda self: any(each.held for each in self.workers))
    @rule(data=st.data())
    def tell_live(self, data: st.DataObject) -> None:
        leases, run = self._some_run(data)
        may = self.model.holds(run, leases.queue)
        assert self.run(run.publish("live")) == may
        self._settle(leases, run, may, told=True)

    def _some_run(self, data: st.DataObject) -> tuple[Leases, JobContext]:
        runs = [(leases, run) for leases in self.workers for run in leases.held.values()]
        return runs[data.draw(st.integers(0, len(runs) - 1))]

    def _settle(self, leases: Leases, run: JobContext, holds: bool, *, told: bool = False) -> None:
        known = self.model.jobs.get(run.job_id)
        if holds:
            assert known is not None
            known.runs = run.generation  # its claim stands again, if it had run out
        elif not told:
            leases.held.pop(run.generation, None)  # as a worker does when its handler was cancelled

    # --- the dead ---------------------------------------------------------------------------------

    @precondition(lambda self: any(self.model.letters.values()))
    @rule(data=st.data(), retried=st.booleans())
    def retry_or_drop_a_dead_one(self, data: st.DataObject, retried: bool) -> None:
        queue = data.draw(st.sampled_from([name for name in LANES if self.model.letters[name]]))
        kept = self.run(self.letters.list(queue))[-1]
        letters = self.model.letters[queue]
        assert kept.letter.reason == letters.pop(next(iter(letters)))
        if not retried:
            assert self.run(self.letters.drop(queue, kept))
            return
        job_id = kept.letter.job_id
        known = self.model.jobs.get(job_id)
        assert self.run(self.letters.retry(queue, kept)) == (known is None)
        self.model.tries.pop(job_id, None)
        if known is None:
            self.model.jobs[job_id] = Known(queue)
            return
        known.tries = 0
        if not known.runs:
            if LANES.index(queue) < LANES.index(known.queue):
                known.queue, known.due = queue, True
            elif queue == known.queue:
                known.due = True

    # --- what always holds --------------------------------------------------------------------------

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        self.run(self._compare())

    @invariant()
    def what_follows_is_put_in_or_a_run_is_still_to_come(self) -> None:
        assert self.model.owed <= self.model.jobs.keys()

    async def _compare(self) -> None:
        raw = self.redis.raw
        for queue in LANES:
            lies = {each.decode() for each in await raw.zrange(keys.queue_key(queue), 0, -1)}
            assert lies == {each for each, known in self.model.jobs.items() if known.queue == queue}
            assert await raw.llen(keys.dead_key(queue)) == len(self.model.letters[queue])
        for job_id, known in self.model.jobs.items():
            payload = await raw.get(keys.job_key(job_id))
            assert keys.decode_job(payload, KINDS).id == job_id
            held = await raw.get(keys.claim_key(job_id))
            generation = msgspec.msgpack.decode(held, type=Claim).generation if held else 0
            assert generation == known.runs
            assert int(await raw.get(keys.tries_key(job_id)) or 0) == known.tries
        async for key in raw.scan_iter():
            name = key.decode()
            assert name in WITHOUT_EXPIRY or await raw.pttl(key) > 0, f"{name} stays for ever"
            if name.startswith((keys.CLAIM_PREFIX, keys.CLAIMED_PREFIX, "orchard:again:", "arq:job:")):
                assert name.partition(":")[2].partition(":")[2] in self.model.jobs, f"{name} outlived its job"


@pytest.mark.timeout(120)
def test_jobs__in_any_order_of_steps__are_where_the_model_says(queue_redis: RedisAddress) -> None:
    with asyncio.Runner() as runner:
        client = runner.run(_client(queue_redis))

        class Here(Jobs):
            pass

        Here.redis, Here.runner = client, runner
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Here,
            settings=settings(
                derandomize=True,
                database=None,
                deadline=None,
                max_examples=200,
                stateful_step_count=25,
                phases=[Phase.generate],  # a failure of 25 steps is read as it is
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(client.aclose())


async def _client(address: RedisAddress) -> RedisClient:
    return queue_client(address)
