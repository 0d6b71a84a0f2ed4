"""After the start each upstream is asked once; those that do not answer are named on the terminal."""

from __future__ import annotations

import json

import pytest

from services.standalone.kept_files import Keys
from services.standalone.upstreams import check_upstreams
from shared.settings import load_settings
from tests.support.upstream import Reply, Upstream

KEYS = Keys("token", "here", "key")
LIST = "/api/v1/admin/upstreams"


def put(gateway: Upstream, path: str, value: object) -> None:
    gateway.put(path, Reply(json.dumps(value).encode(), "application/json"))


async def checked(gateway: Upstream, **settings: str) -> None:
    await check_upstreams(load_settings({"ORCHARD_PORT": str(gateway.port), **settings}), KEYS)


async def test_upstreams__those_that_fail_are_named_and_paused_ones_not_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    detail = "the certificate of repo.example.com is not trusted; ORCHARD_CA_FILE says whom to trust"
    with Upstream() as gateway:
        rows = [{"id": n, "protocol": "pypi", "name": f"n{n}", "enabled": n != 3} for n in (1, 2, 3)]
        put(gateway, LIST, {"items": rows})
        put(gateway, f"{LIST}/1/test", {"ok": True, "detail": "it answers"})
        put(gateway, f"{LIST}/2/test", {"ok": False, "detail": detail})
        await checked(gateway)
        assert not gateway.count(f"{LIST}/3/test")
    assert capsys.readouterr().err == f"  ! upstream pypi/n2: {detail}\n"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items":[{}]}', b'{"items":7}'])
async def test_gateway_answers_nonsense_or_nothing__no_word(
    capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    with Upstream() as gateway:
        gateway.put(LIST, body)
        await checked(gateway)
    await checked(gateway)  # stopped
    assert not capsys.readouterr().err


async def test_public_address__is_never_sent_the_token() -> None:
    with Upstream() as gateway, Upstream() as public:
        put(gateway, LIST, {"items": []})
        await checked(gateway, ORCHARD_PUBLIC_URL=public.url)
        assert gateway.count(LIST) == 1 and not public.requests


async def test_offline__nobody_is_asked() -> None:
    with Upstream() as gateway:
        await checked(gateway, ORCHARD_OFFLINE="true")
        assert not gateway.requests
