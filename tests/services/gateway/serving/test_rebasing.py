"""Bodies for addresses that have none of their own: the address is put in on the way out."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.serving.index_flow import serve_index
from services.gateway.serving.index_reply import served_now, variants_of
from services.gateway.serving.ports import Reply
from services.gateway.serving.rebasing import PLACEHOLDER, rebased
from shared.http.conditions import Conditions
from shared.protocols.resource import Resource
from tests.support.ports import MemoryBody, MemoryEntry, MemoryWorld

BASE = f"{PLACEHOLDER}/toy"
SHOWN = "http://somebody.example.com:81/toy"
PAGE = Resource(
    protocol="toy", kind="index", identity="full/a", project="a", representation="json", per_base_url=True
)
ASKED = Conditions(base_url=BASE, shown_url=SHOWN)
BODY = f'["{BASE}/a/-/a-1.tgz","{BASE}/a/-/a-2.tgz"]'.encode()
TOLD = BODY.replace(BASE.encode(), SHOWN.encode())
[VARIANT] = variants_of(PAGE, ASKED)


def world() -> MemoryWorld:
    made = MemoryWorld()
    made.index.put(PAGE.identity, {VARIANT: BODY}, fresh_until=made.clock.now() + 120)
    return made


async def test_index__has_the_address_of_its_request_and_a_tag_of_its_own() -> None:
    here = world()
    replies = [
        await serve_index(PAGE, msgspec.structs.replace(ASKED, shown_url=url), here.ports)
        for url in (SHOWN, "http://b/toy")
    ]
    assert replies[0].body == TOLD
    headers = [dict(reply.headers) for reply in replies]
    assert headers[0][b"content-length"] == b"%d" % len(TOLD)
    assert headers[0][b"etag"] != headers[1][b"etag"]
    again = msgspec.structs.replace(ASKED, if_none_match=headers[0][b"etag"])
    assert (await serve_index(PAGE, again, here.ports)).status == 304
    head = await serve_index(PAGE, msgspec.structs.replace(ASKED, head=True), here.ports)
    assert (head.body, b"content-length" in dict(head.headers)) == (None, False)


async def test_index__a_range_of_it__is_sent_whole_and_never_offered() -> None:
    for asked in (b"bytes=0-3", b"bytes=99999-"):  # its length is not known before it goes out
        reply = await serve_index(PAGE, msgspec.structs.replace(ASKED, range=asked), world().ports)
        assert (reply.status, reply.body) == (200, TOLD)
        assert not {b"accept-ranges", b"content-range"} & dict(reply.headers).keys()


def test_index__is_never_kept_as_a_finished_response() -> None:
    here = world()
    head, body = here.index.heads[PAGE.identity], here.index.bodies[PAGE.identity, VARIANT]
    entry = MemoryEntry(head, body, variant=VARIANT)
    plain = msgspec.structs.replace(ASKED, shown_url="")
    for asked, kept in ((plain, True), (ASKED, False)):
        found = served_now(PAGE, asked, entry, now=here.clock.now(), stale_limit=0)
        assert (found is not None) is kept


@pytest.mark.parametrize("size", [1, 2, 7, len(BASE) - 1, len(BASE), len(BASE) + 1, 1000])
async def test_large_body__in_pieces_of_any_size__is_the_same(size: int) -> None:
    class Pieces(MemoryBody):
        async def chunks(self):  # type: ignore[no-untyped-def]
            for start in range(0, len(self.data), size):
                yield self.data[start : start + size]

    body = b"x" + BODY + BASE[:-1].encode() + BODY + BASE[:5].encode()
    reply = rebased(Reply(200, "HIT", [], Pieces(body)), ASKED)
    assert reply.body is not None and not isinstance(reply.body, (bytes, memoryview))
    got = b"".join([piece async for piece in reply.body.chunks()])
    assert got == body.replace(BASE.encode(), SHOWN.encode())
    assert reply.headers == []
