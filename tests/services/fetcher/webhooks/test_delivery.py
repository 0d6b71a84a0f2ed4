"""Delivery over real stores to real receivers: at least once, in order, bounded, and no secret anywhere."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import pytest

from services.fetcher.feeds.download import feed_of
from services.fetcher.identity.issuers import Issuers
from services.fetcher.webhooks import rows as webhook_rows
from services.fetcher.webhooks.keeper import TRIES_OF_REFUSED
from services.fetcher.webhooks.rows import Webhook, WebhookRows
from services.fetcher.webhooks.sending import _as_source
from shared.sources.box import SealingBox
from shared.sources.credentials import Credentials
from tests.services.fetcher.webhooks.conftest import Post
from tests.support.gateway import free_port
from tests.support.orchard import SECRET_KEY
from tests.support.receiver import SECRET, Receiver
from tests.support.stores import ROOT

WRONG = "Li4uLi4uLi4uLi4uLi4uLi4uLi4uLi4uLi4uLi4uLi4="


async def test_events_are_delivered_once_in_order_and_signed(post: Post, receiver: Receiver) -> None:
    webhook = await post.add(receiver)
    await post.happens("one", "two", "three")
    await post.deliver(post.keeper())
    events = receiver.events()
    assert [each["subject"] for each in events] == ["pypi/one", "pypi/two", "pypi/three"]
    assert len({each["id"] for each in events}) == 3
    first, (headers, _) = events[0], receiver.got[0]
    assert (first["specversion"], first["source"], first["type"]) == (
        "1.0", "/orchard/tests", "orchard.event.empty_index",
    )  # fmt: skip
    assert first["data"]["detail"] == {"why": "a test"} and first["time"].endswith("Z")
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-id"] == first["id"]
    assert await post.waiting() == []
    row = await post.row(webhook)
    assert (row["delivered"], row["fault"], row["holder"]) == (3, "", "")
    await post.deliver(post.keeper())
    assert len(receiver.got) == 3


async def test_the_same_event_has_one_id_for_all_webhooks(post: Post) -> None:
    with Receiver() as one, Receiver() as two:
        await post.add(one, "one")
        await post.add(two, "two")
        await post.happens("demo")
        await post.deliver(post.keeper())
        assert one.events()[0]["id"] == two.events()[0]["id"]


@pytest.mark.parametrize(
    "types, told",
    [
        (["orchard.event.empty_index"], True),
        (["orchard.event.*"], True),
        (["*"], True),
        (["orchard.block.*", "orchard.event.empty"], False),
    ],
)
async def test_a_webhook_gets_the_types_that_it_wants(
    post: Post, receiver: Receiver, types: list[str], told: bool
) -> None:
    await post.add(receiver, types=types)
    await post.happens("demo")
    await post.deliver(post.keeper())
    assert len(receiver.events()) == told


async def test_killed_between_sending_and_noting__sent_again_under_the_same_id(
    post: Post, receiver: Receiver, store_settings: dict[str, str]
) -> None:
    await post.add(receiver)
    await post.happens("demo")
    command = [sys.executable, "-m", "tests.services.fetcher.webhooks.killed"]
    environment = {**os.environ, **store_settings, "ORCHARD_SECRET_KEY": SECRET_KEY}
    killed = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=environment, timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert len(receiver.events()) == 1 and await post.waiting() == ["orchard.event.empty_index"]
    await post.deliver(post.keeper())
    assert len(receiver.got) == 1, "held by the dead one until its time is over"
    await post.due_now()
    await post.deliver(post.keeper())
    first, second = receiver.events()
    assert first["id"] == second["id"] and await post.waiting() == []


async def test_down_then_up__what_waited_comes_in_order(post: Post) -> None:
    port = free_port()
    webhook = await post.add(f"http://127.0.0.1:{port}/in")
    keeper = post.keeper()
    for name in ("one", "two"):
        await post.happens(name)
        await post.due_now()
        await post.deliver(keeper)
    row = await post.row(webhook)
    assert (
        row["tries"] == 2 and row["failing_since"] and row["fault"] and row["next_at"] > row["failing_since"]
    )
    with Receiver(port) as receiver:
        await post.deliver(keeper)
        assert receiver.got == [], "it is not asked before its pause is over"
        await post.due_now()
        await post.deliver(keeper)
        assert [each["subject"] for each in receiver.events()] == ["pypi/one", "pypi/two"]
    row = await post.row(webhook)
    assert (row["tries"], row["failing_since"], row["fault"]) == (0, None, "")


async def test_slow__others_get_theirs_meanwhile(post: Post) -> None:
    with Receiver() as slow, Receiver() as quick:
        slow.held.clear()
        await post.add(slow, "slow")
        await post.add(quick, "quick")
        await post.happens("demo")
        keeper = post.keeper()
        held = await WebhookRows(post.database).claim(keeper._holder, 60.0, 8)
        tasks = [asyncio.create_task(keeper.deliver(each)) for each in held]
        async with asyncio.timeout(60):
            while not (quick.got and slow.got):
                await asyncio.sleep(0.01)
        slow.held.set()
        await asyncio.gather(*tasks)
        assert slow.types() == quick.types()


async def test_no_answer_in_time__a_failure_that_is_tried_again(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.fetcher.webhooks.sending.SECONDS", 0.2)
    webhook = await post.add(receiver)
    await post.happens("demo")
    receiver.held.clear()
    await post.deliver(post.keeper())
    assert "no answer within" in (await post.row(webhook))["fault"]
    assert await post.waiting() == ["orchard.event.empty_index"]


async def test_410__paused_at_once_and_told_to_the_others(post: Post) -> None:
    with Receiver() as gone, Receiver() as other:
        gone.status = 410
        webhook = await post.add(gone, "gone")
        await post.add(other, "other", types=["orchard.event.webhook_paused"])
        await post.happens("demo", "demo-2")
        keeper = post.keeper()
        await post.deliver(keeper)
        assert (await post.row(webhook))["paused"] == "gone"
        await post.deliver(keeper)
        (told,) = other.events()
        assert told["data"]["detail"] == {"webhook": "gone", "because": "gone", "fault": "it answered 410"}
        assert len(gone.got) == 1
        await post.happens("demo-3")
        assert await post.waiting() == [], "nothing waits for one that is gone"
    standing = {each.name: each.failing for each in await WebhookRows(post.database).standing()}
    assert standing == {"gone": True, "other": False}


async def test_failing_for_too_long__paused_and_what_happens_waits(post: Post, receiver: Receiver) -> None:
    receiver.status = 503
    webhook = await post.add(receiver, types=["orchard.event.empty_index"])
    await post.happens("demo")
    keeper = post.keeper(dead_after=3600.0)
    await post.deliver(keeper)
    assert (await post.row(webhook))["paused"] == ""
    await post.database.execute("UPDATE webhooks SET failing_since = now() - interval '61 minutes'")
    await post.due_now()
    await post.deliver(keeper)
    assert (await post.row(webhook))["paused"] == "dead"
    await post.happens("demo-2")
    await post.due_now()
    await post.deliver(keeper)
    assert len(receiver.got) == 2 and len(await post.waiting()) == 2


async def test_an_event_that_is_refused__given_up_after_some_tries_and_the_next_comes(
    post: Post, receiver: Receiver
) -> None:
    receiver.status = 422
    webhook = await post.add(receiver)
    await post.happens("bad")
    keeper = post.keeper()
    for _ in range(TRIES_OF_REFUSED):
        await post.due_now()
        await post.deliver(keeper)
    assert len(receiver.got) == TRIES_OF_REFUSED and await post.waiting() == []
    receiver.status = 200
    await post.happens("good")
    await post.due_now()
    await post.deliver(keeper)
    row = await post.row(webhook)
    assert (row["dropped"], row["delivered"]) == (1, 1)


async def test_one_that_refuses_all__is_failing_until_something_is_delivered(
    post: Post, receiver: Receiver
) -> None:
    receiver.status = 400
    webhook = await post.add(receiver)
    keeper = post.keeper()
    for name in ("one", "two"):
        await post.happens(name)
        for _ in range(TRIES_OF_REFUSED):
            await post.due_now()
            await post.deliver(keeper)
    assert len(receiver.got) == 2 * TRIES_OF_REFUSED and await post.waiting() == []
    row = await post.row(webhook)
    assert row["failing_since"] and row["fault"] == "it answered 400"
    assert (row["dropped"], row["tries"]) == (2, 2 * (TRIES_OF_REFUSED - 1))
    await post.database.execute("UPDATE webhooks SET failing_since = now() - interval '11 minutes'")
    assert [each.failing for each in await WebhookRows(post.database).standing()] == [True]
    receiver.status = 200
    await post.happens("three")
    await post.due_now()
    await post.deliver(keeper)
    row = await post.row(webhook)
    assert (row["tries"], row["failing_since"], row["fault"], row["delivered"]) == (0, None, "", 1)


async def test_other_failures_before_a_refusal__do_not_count_as_such(post: Post, receiver: Receiver) -> None:
    await post.add(receiver)
    await post.happens("demo")
    keeper = post.keeper()
    for status in [503] * (TRIES_OF_REFUSED - 1) + [400] * (TRIES_OF_REFUSED - 1):
        receiver.status = status
        await post.due_now()
        await post.deliver(keeper)
    assert await post.waiting() == ["orchard.event.empty_index"]
    await post.due_now()
    await post.deliver(keeper)
    assert await post.waiting() == []


def test_requests_of_webhooks__are_on_behalf_of_a_source_of_their_own() -> None:
    """Connections, limits and egress rules go by its id."""
    issuers = Issuers(Mock(), Mock(), Mock())
    others = {issuers.source_of(f"https://{each}.example").id for each in range(1000)}
    others |= {source.id for each in range(99) if (source := feed_of("https://osv.example/", each).source)}
    ours = {_as_source(Webhook(each, "", "", "", False, "", 0)).id for each in range(1, 1000)}
    assert (len(ours), len(others), ours & others) == (999, 1099, set())


async def test_a_redirect_is_not_followed(post: Post, receiver: Receiver) -> None:
    """Not even on the same host, where what is fetched would go on with its body."""
    receiver.status, receiver.headers = 307, {"location": "/elsewhere"}
    webhook = await post.add(receiver)
    await post.happens("demo")
    await post.deliver(post.keeper())
    assert len(receiver.got) == 1 and "redirect" in (await post.row(webhook))["fault"]


async def test_a_private_address_is_refused_unless_it_was_allowed(post: Post, receiver: Receiver) -> None:
    webhook = await post.add(receiver, allow_private=False)
    await post.happens("demo")
    await post.deliver(post.keeper())
    assert receiver.got == [] and "not public" in (await post.row(webhook))["fault"]


async def test_a_metadata_service_is_always_refused(post: Post) -> None:
    webhook = await post.add("http://169.254.169.254/in")
    await post.happens("demo")
    await post.deliver(post.keeper())
    assert "metadata" in (await post.row(webhook))["fault"]


@pytest.mark.parametrize(
    "sealed, says",
    [
        ("1:deadbeef:AAAA", "ORCHARD_SECRET_KEY"),
        ("nonsense", "form"),
        ("of another host", "not of this URL"),
        ("no key", "damaged"),
    ],
)
async def test_a_damaged_secret__said_without_any_of_it_and_nothing_is_sent(
    post: Post, receiver: Receiver, sealed: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if sealed == "of another host":
        sealed = post.box.seal(Credentials(token=SECRET), "https://elsewhere.example/")
    if sealed == "no key":
        sealed = post.box.seal(Credentials(token="whsec_c2hvcnQ="), receiver.url)
    webhook = await post.add(receiver, sealed=sealed)
    await post.happens("demo")
    await post.deliver(post.keeper())
    fault = (await post.row(webhook))["fault"]
    assert says in fault and receiver.got == []
    out = "".join(capfd.readouterr())
    for secret in (SECRET, "c2hvcnQ=", "of-the-receiver"):
        assert secret not in fault and secret not in out


async def test_a_changed_key__the_secret_is_sealed_anew(post: Post, receiver: Receiver) -> None:
    webhook = await post.add(receiver)
    both = SealingBox.from_texts([WRONG, SECRET_KEY])
    await post.happens("demo")
    await post.deliver(post.keeper(box=both))
    assert receiver.types() == ["orchard.event.empty_index"]
    assert (
        SealingBox.from_texts([WRONG]).open((await post.row(webhook))["sealed"], receiver.url).token == SECRET
    )


async def test_too_many_or_too_old__the_oldest_go_and_are_counted(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await post.add(receiver)
    await post.happens("one", "two", "three", "four")
    await post.database.execute(
        "UPDATE webhook_outbox SET at = now() - interval '8 days' WHERE subject = 'pypi/four'"
    )
    await post.database.execute(
        "INSERT INTO webhook_outbox (webhook, event, at, type, subject, data) "
        "VALUES (99, gen_random_uuid(), now(), 'of one that was removed', '', '{}')"
    )
    monkeypatch.setattr(webhook_rows, "MOST_WAITING", 3)
    await WebhookRows(post.database).tidy()
    await post.deliver(post.keeper())
    assert [each["subject"] for each in receiver.events()] == ["pypi/two", "pypi/three"]
    assert (await post.row(webhook))["dropped"] == 2 and await post.waiting() == []


async def test_binary_mode__attributes_in_headers(post: Post, receiver: Receiver) -> None:
    await post.add(receiver, mode="binary")
    await post.happens("dé mo")
    await post.deliver(post.keeper())
    ((headers, body),) = receiver.got
    assert headers["ce-subject"] == "pypi/d%C3%A9%20mo" and headers["ce-specversion"] == "1.0"
    assert headers["content-type"] == "application/json" and body.startswith(b'{"id":')


async def test_two_fetchers__an_event_is_sent_by_one(post: Post, receiver: Receiver) -> None:
    await post.add(receiver)
    await post.happens(*(f"demo-{each}" for each in range(20)))
    both = [post.keeper(), post.keeper()]
    await asyncio.gather(*(post.deliver(each) for each in both))
    await post.deliver(both[0])
    assert [each["subject"] for each in receiver.events()] == [f"pypi/demo-{each}" for each in range(20)]
