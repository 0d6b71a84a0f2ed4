"""One town for all pages: an Orchard that has served packages, with markup in all that others write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
import pytest

from tests.support.orchard import Cluster, cluster
from tests.support.page_list import addresses
from tests.support.town import MARK, SETTINGS, build
from tests.support.upstream import Upstream

TOKEN = "operators-token-of-tests"
OPERATOR = {"authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Town:
    """The open gateway, and one that nobody reads from without a token."""

    orchard: Cluster
    open: str  # base addresses
    closed: str
    addresses: Mapping[str, str]  # of pages, below /ui/

    def get(self, address: str, headers: Mapping[str, str] = OPERATOR, base: str = "") -> httpx.Response:
        return httpx.get(f"{base or self.open}/ui/{address}", headers=headers, trust_env=False, timeout=30)

    def post(self, address: str, headers: Mapping[str, str], base: str = "", **fields: str) -> httpx.Response:
        url = f"{base or self.open}/ui/{address}"
        return httpx.post(url, data=fields, headers=headers, trust_env=False, timeout=60)

    def sign_in(self, token: str, base: str = "") -> dict[str, str]:
        """The headers of a browser that has signed in and sends a form from a page of its own."""
        base = base or self.closed
        answer = self.post("signin", {"origin": base}, base, token=token)
        assert answer.status_code == 303, answer.text
        found = re.match(r"orchard_session=[^;]+", answer.headers["set-cookie"])
        assert found is not None
        return {"cookie": found[0], "origin": base, "accept": "text/html"}

    def token(self, name: str, scope: str) -> tuple[int, str]:
        """A new token: its id and itself."""
        made = httpx.post(
            f"{self.open}/api/v1/admin/tokens",
            json={"name": name, "scope": scope},
            headers=OPERATOR,
            trust_env=False,
        )
        assert made.status_code == 201, made.text
        return made.json()["id"], made.json()["token"]


@pytest.fixture(scope="package")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with (
        Upstream() as upstream,
        cluster(tmp_path_factory.mktemp("town"), upstream, ORCHARD_ADMIN_TOKEN=TOKEN, **SETTINGS) as orchard,
    ):
        built = build(orchard, upstream, TOKEN, mark=MARK)
        closed = orchard.start("gateway", ORCHARD_ANONYMOUS_READ="false", ORCHARD_WRONG_TOKENS="0")
        yield Town(orchard, orchard.gateway.base, closed.base, addresses(**built))
