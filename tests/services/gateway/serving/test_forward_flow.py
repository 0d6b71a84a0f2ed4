"""What is passed on: the upstream's answer, a harmless one, or an honest error."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from services.gateway.serving.forward_flow import serve_forward
from services.gateway.serving.ports import ForwardAnswer, ForwardRequest, Reply
from shared.errors import LastingError, Offline, OrchardError, RouteNotFound
from shared.errors.passing import PassingError, UpstreamUnavailable
from shared.protocols.resource import Resource
from shared.settings import Settings
from tests.support.ports import MemoryWorld

HARMLESS = Resource(
    protocol="npm", kind="forward", identity="audit", forward_path="a", forward_fallback=b"{}"
)
PLAIN = Resource(protocol="npm", kind="forward", identity="search", forward_path="s?text=x")
REQUEST = ForwardRequest(method="POST", path="a", body=b"[]")


@dataclass
class MemoryForward:
    answer: ForwardAnswer | OrchardError
    sent: list[ForwardRequest] = field(default_factory=list)

    async def send(self, protocol: str, request: ForwardRequest) -> ForwardAnswer:
        self.sent.append(request)
        if isinstance(self.answer, OrchardError):
            raise self.answer
        return self.answer


async def _serve(
    resource: Resource, answer: ForwardAnswer | OrchardError, settings: Settings | None = None
) -> tuple[Reply, MemoryForward]:
    forward = MemoryForward(answer)
    ports = msgspec.structs.replace(MemoryWorld(settings).ports, forward=forward)
    return await serve_forward(resource, REQUEST, ports), forward


def _answer(status: int, body: bytes = b'{"x":1}') -> ForwardAnswer:
    return ForwardAnswer(status, "application/json", body)


@pytest.mark.parametrize("status", [200, 400, 413, 422])
async def test_answer__of_the_upstream__passed_on_uncached(status: int) -> None:
    reply, forward = await _serve(HARMLESS, _answer(status))
    assert (reply.status, reply.body, reply.cache) == (status, b'{"x":1}', "MISS")
    assert (b"cache-control", b"no-store") in reply.headers
    assert forward.sent == [REQUEST]


TROUBLE = [_answer(404), _answer(500), _answer(503), _answer(401), UpstreamUnavailable("away")]


@pytest.mark.parametrize("answer", TROUBLE)
async def test_trouble__the_operator_wants_the_harmless_answer__that_one(
    answer: ForwardAnswer | OrchardError,
) -> None:
    reply, _ = await _serve(HARMLESS, answer, Settings(audit_unanswered="pass"))
    assert (reply.status, reply.body, reply.cache) == (200, b"{}", "STALE")


@pytest.mark.parametrize("answer", TROUBLE)
@pytest.mark.parametrize("resource", [HARMLESS, PLAIN])
async def test_trouble__nobody_answered__is_told(
    resource: Resource, answer: ForwardAnswer | OrchardError
) -> None:
    told: type[OrchardError] = PassingError
    if answer in (_answer(404), _answer(401)):
        told = RouteNotFound if answer == _answer(404) else LastingError
    with pytest.raises(told):
        await _serve(resource, answer)


async def test_offline__nobody_is_asked() -> None:
    lenient = Settings(offline=True, audit_unanswered="pass")
    reply, forward = await _serve(HARMLESS, _answer(200), lenient)
    assert (reply.body, forward.sent) == (b"{}", [])
    for resource in (PLAIN, HARMLESS):
        with pytest.raises(Offline):
            await _serve(resource, _answer(200), Settings(offline=True))


async def test_no_upstream_path__answered_at_once() -> None:
    resource = msgspec.structs.replace(HARMLESS, forward_path="")
    reply, forward = await _serve(resource, _answer(200))
    assert (reply.cache, reply.body, forward.sent) == ("HIT", b"{}", [])
