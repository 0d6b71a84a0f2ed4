"""Identity tokens at a gateway that cannot ask: it says that it cannot, and refuses nobody for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from services.gateway.api.identities import Identities
from shared.access.repository import AccessState
from shared.access.trust import TrustRule
from shared.errors import IdentityRefused, OrchardError, TooManyGuesses
from shared.errors.passing import AccessUnknown, IssuerUnavailable, UpstreamUnavailable
from shared.models import FORMAT
from shared.settings import Settings
from tests.support.issuer import signed

ISSUER = "https://ci.example.com"
TOKEN = signed({"iss": ISSUER})
STATE = AccessState(FORMAT, 1, trust=(TrustRule("1", "ci", ISSUER, "here", {"sub": ("job",)}),))
PERSON = "192.0.2.1"


class Desk:
    """Fetchers that answer as they are told."""

    def __init__(self, answer: tuple[int, bytes] | OrchardError) -> None:
        self._answer = answer
        self.asked = 0

    async def ask(self, _path: str, _body: bytes, _tries: int) -> tuple[int, bytes]:
        self.asked += 1
        if isinstance(self._answer, OrchardError):
            raise self._answer
        return self._answer


def identities(desk: Any, state: AccessState | None = STATE) -> Identities:
    watcher: Any = SimpleNamespace(state=state)
    return Identities(Settings(wrong_tokens=2), desk, watcher, None)  # type: ignore[arg-type] # no grant is made


async def test_exchange__before_any_rule_is_known__is_not_refused() -> None:
    desk = Desk((500, b""))
    with pytest.raises(AccessUnknown):
        await identities(desk, None).exchange(TOKEN, PERSON)
    with pytest.raises(IdentityRefused, match="no rule trusts"):
        await identities(desk, AccessState(FORMAT, 1)).exchange(TOKEN, PERSON)
    assert desk.asked == 0, "nobody asks about an issuer that no operator has named"


@pytest.mark.parametrize(
    "answer",
    [
        UpstreamUnavailable("no fetcher is running to do this"),
        (404, b"404: Not Found"),  # of the version before
        (403, b""),
        (503, msgspec.json.encode(UpstreamUnavailable("slow").to_value())),
        (503, msgspec.json.encode({"code": "of_tomorrow", "message": "x"})),
    ],
)
async def test_exchange__nobody_can_check__says_so_and_is_no_guess(answer: Any) -> None:
    asked = identities(Desk(answer))
    for _ in range(4):
        with pytest.raises(IssuerUnavailable):
            await asked.exchange(TOKEN, PERSON)


async def test_exchange__refused_again_and_again__waits_and_only_from_there() -> None:
    desk = Desk((503, msgspec.json.encode(IdentityRefused("it is over").to_value())))
    asked = identities(desk)
    for _ in range(2):
        with pytest.raises(IdentityRefused, match="over"):
            await asked.exchange(TOKEN, PERSON)
    with pytest.raises(TooManyGuesses):
        await asked.exchange(TOKEN, PERSON)
    assert desk.asked == 2
    with pytest.raises(IdentityRefused):
        await asked.exchange(TOKEN, "192.0.2.2")
