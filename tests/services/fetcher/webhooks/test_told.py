"""What is told: by triggers in the transaction that makes it so, and what fetchers notice."""

from __future__ import annotations

import time

import msgspec
import pytest

from services.fetcher.webhooks import noticing as module
from services.gateway.api.admin.access_types import NewBlock
from services.gateway.api.admin.repository import Actor, AdminRepository
from shared.artifacts.webhook_types import TYPES
from shared.models import FORMAT, BreakerState, UpstreamSource
from shared.queue.keys import DeadLetter, dead_key
from tests.services.fetcher.webhooks.conftest import Post
from tests.support.receiver import Receiver

ACTOR = Actor("tester")
SOURCE = UpstreamSource(1, "pypi", "main", "https://one.example/simple/")


async def test_each_kind_of_change_is_told_under_a_type_that_is_known(post: Post, receiver: Receiver) -> None:
    await post.add(receiver)
    admin, sha256 = AdminRepository(post.database), "ab" * 32
    block = await admin.add_block(ACTOR, NewBlock("bad", "pypi", "demo", "1.0"))
    await admin.drop_block(ACTOR, block.id)
    await admin.add_block(ACTOR, NewBlock("bad bytes", sha256=sha256))
    exemption = await admin.add_exemption(ACTOR, NewBlock("ours", "pypi", "demo"), None, covers_malware=False)
    await admin.drop_exemption(ACTOR, exemption.id)
    await post.database.execute(
        "INSERT INTO quarantine (protocol, project, file_id, filename, version, sha256, advisory) "
        "VALUES ('pypi', 'evil', 'f', 'evil-1.0.tar.gz', '1.0', sha256('x'), 'MAL-1')"
    )
    await post.database.execute("DELETE FROM quarantine")
    held = (
        "INSERT INTO held_versions (protocol, project, version, rule, why, published, until, change) "
        "VALUES ('pypi', 'young', '2.0', 'minimum_age', 'too young', 0, 0, '{}') "
        "ON CONFLICT (protocol, project, version) DO UPDATE SET why = 'again'"
    )
    await post.database.execute(held)
    await post.database.execute(held)
    await post.happens("demo", kind="upstream_mutated")
    await post.happens("demo", kind="upstream_mutated")  # counted, not told again
    await post.deliver(post.keeper())
    assert [(each["type"], each["subject"]) for each in receiver.events()] == [
        ("orchard.block.made", "pypi/demo/1.0"),
        ("orchard.block.lifted", "pypi/demo/1.0"),
        ("orchard.block.made", f"sha256:{sha256}"),
        ("orchard.exemption.made", "pypi/demo"),
        ("orchard.exemption.ended", "pypi/demo"),
        ("orchard.quarantine.begun", "pypi/evil/1.0"),
        ("orchard.quarantine.ended", "pypi/evil/1.0"),
        ("orchard.version.held", "pypi/young/2.0"),
        ("orchard.event.upstream_mutated", "pypi/demo"),
    ]
    assert set(receiver.types()) <= set(TYPES)
    blocked = receiver.events()[2]["data"]
    assert (blocked["sha256"], blocked["reason"], blocked["created_by"]) == (sha256, "bad bytes", "tester")


async def test_what_is_undone_is_not_told(post: Post, receiver: Receiver) -> None:
    await post.add(receiver)
    await post.database.execute(
        "DO $$ BEGIN INSERT INTO blocks (protocol, name, reason) VALUES ('pypi', 'demo', 'x'); "
        "RAISE unique_violation; EXCEPTION WHEN unique_violation THEN NULL; END $$"
    )
    assert await post.waiting() == []


async def test_without_webhooks_nothing_waits(post: Post) -> None:
    await post.happens("demo")
    assert await post.waiting() == []


async def test_a_webhook_that_is_removed_meanwhile_fails_no_change(post: Post, receiver: Receiver) -> None:
    """Where the outbox pointed at webhooks, the second transaction would fail."""
    webhook = await post.add(receiver)
    await post.happens("demo")
    await post.database.execute("DELETE FROM webhooks WHERE id = $1", webhook)
    await post.happens("demo-2")
    await post.keeper()._rows.tidy()
    assert await post.waiting() == []


async def test_an_upstream_that_fails_for_a_while__told_once_and_when_it_is_back(
    post: Post, receiver: Receiver
) -> None:
    await post.add(receiver)
    post.sources.append(SOURCE)
    noticing = post.keeper()._noticing
    await noticing.look()
    assert await post.waiting() == []
    state = BreakerState(
        FORMAT, 1, "open", time.time() + 5, "upstream_unavailable", name="host", message="no connection",
        left_seconds=5.0,
    )  # fmt: skip
    await post.stores.cache.write_breaker("pypi", state)
    await post.stores.cache.write_breaker("pypi", msgspec.structs.replace(state, name="one@abc"))
    for _ in range(3):
        await noticing.look()
    await post.stores.cache.clear_breaker("pypi", 1, "host")
    for _ in range(2):
        await noticing.look()
    await post.deliver(post.keeper())
    failing, back = receiver.events()
    assert (failing["type"], failing["subject"]) == ("orchard.upstream.failing", "pypi/main")
    assert failing["data"]["what"] == ["host"] and failing["data"]["reason"] == "upstream_unavailable"
    assert (back["type"], back["subject"]) == ("orchard.upstream.recovered", "pypi/main")


async def dies(post: Post, job_id: str, at: float) -> None:
    letter = msgspec.json.encode(DeadLetter(job_id, "its workers died", 3, at))
    await post.stores.queue_redis.command("LPUSH", dead_key("index"), letter)


async def test_dead_letters__each_told_once_and_none_from_before_the_first_look(
    post: Post, receiver: Receiver
) -> None:
    await post.add(receiver)
    noticing = post.keeper()._noticing

    await dies(post, "old", time.time() - 60)
    await noticing.look()
    at = time.time() + 60
    await dies(post, "one", at)
    await dies(post, "two", at)
    for _ in range(2):
        await noticing.look()
    await post.deliver(post.keeper())
    events = receiver.events()
    assert sorted(each["data"]["job_id"] for each in events) == ["one", "two"]
    assert {each["type"] for each in events} == {"orchard.job.dead"}


async def test_dead_letter_that_comes_late__is_told__until_the_overlap_is_over(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.add(receiver)
    noticing = post.keeper()._noticing
    await noticing.look()
    now = time.time()
    for job_id, at in (("one", now + 60), ("of a slower clock", now + 30)):
        await dies(post, job_id, at)
        await noticing.look()
    monkeypatch.setattr(module, "OVERLAP_SECONDS", -90.0)  # as if so much later
    await noticing.look()
    await dies(post, "too late", now + 40)
    await noticing.look()
    await post.deliver(post.keeper())
    assert [each["data"]["job_id"] for each in receiver.events()] == ["one", "of a slower clock"]
    row = await post.database.fetchrow("SELECT count(*) AS many FROM webhook_noticed WHERE last = ''")
    assert row is not None and row["many"] == 0, "what was told is remembered no longer than need be"


async def test_many_dead_letters_at_once__all_are_told(post: Post, receiver: Receiver) -> None:
    await post.add(receiver)
    noticing = post.keeper()._noticing
    await noticing.look()
    count, at = module.LETTERS * 2 + 1, time.time() + 60
    for each in range(count):
        await dies(post, f"job-{each}", at + each / 1000)
    await noticing.look()
    assert await post.waiting() == ["orchard.job.dead"] * count


async def test_nul_in_a_text__goes__and_what_only_looks_like_it_stays(post: Post, receiver: Receiver) -> None:
    await post.add(receiver)
    noticing = post.keeper()._noticing
    await noticing.look()
    await dies(post, "C:\\u0000x \0y", time.time() + 60)
    await noticing.look()
    await post.deliver(post.keeper())
    assert [each["data"]["job_id"] for each in receiver.events()] == ["C:\\u0000x y"]
