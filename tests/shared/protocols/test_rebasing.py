"""Bodies for addresses that have none of their own: the address is put in on the way out."""

from __future__ import annotations

import msgspec
import pytest

from shared.protocols.conditions import Conditions
from shared.protocols.flows import serve_index, served_now, variant_name
from shared.protocols.ports import Reply
from shared.protocols.rebasing import PLACEHOLDER, rebased
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
VARIANT = variant_name(PAGE, ASKED)


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


def test_index__is_never_kept_as_a_finished_response() -> None:
    here = world()
    entry = MemoryEntry(here.index.heads[PAGE.identity], here.index.bodies[PAGE.identity, VARIANT])
    plain = msgspec.structs.replace(ASKED, shown_url="")
    for asked, kept in ((plain, True), (ASKED, False)):
        found = served_now(PAGE, asked, VARIANT, entry, now=here.clock.now(), stale_limit=0)
        assert (found is not None) is kept


@pytest.mark.parametrize("size", [1, 2, 7, len(BASE) - 1, len(BASE), len(BASE) + 1, 1000])
async def test_large_body__in_pieces_of_any_size__is_the_same(size: int) -> None:
    class Pieces(MemoryBody):
        async def chunks(self):  # type: ignore[no-untyped-def]
            for start in range(0, len(self.data), size):
                yield self.data[start : start + size]

    body = b"x" + BODY + BASE[:-1].encode() + BODY + BASE[:5].encode()
    reply = rebased(Reply(200, "HIT", [(b"content-length", b"1")], Pieces(body)), ASKED)
    assert reply.body is not None and not isinstance(reply.body, (bytes, memoryview))
    got = b"".join([piece async for piece in reply.body.chunks()])
    assert got == body.replace(BASE.encode(), SHOWN.encode())
    assert reply.headers == []
