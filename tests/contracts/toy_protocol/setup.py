"""How the toy's client is set up: one variable, which its client reads too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from shared.protocols.roles.setup import Address, ClientHint, Machine, Setup


class ToySetup(Setup):
    client_seconds: ClassVar[float] = 20.0

    def hints(self, address: Address) -> tuple[ClientHint, ...]:
        return (ClientHint("toybox", (f"export TOY_SHOP={address.base}/toys/",)),)

    def public_registry(self) -> str:
        return "https://toys.example.com/"

    def configured_upstreams(self, machine: Machine) -> Iterator[tuple[str, str]]:
        if machine.environ.get("TOY_SHOP"):
            yield machine.environ["TOY_SHOP"], "TOY_SHOP"
