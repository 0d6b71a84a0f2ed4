"""How a client is set up for this Orchard: what `orchard client-config` shows, by the same code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.params import Parameter

from services.gateway.api.types import Page
from services.gateway.http.base_urls import BaseUrls
from shared.access.exposure import reads_anonymously
from shared.clientfiles.setup import CannotEdit, Setup
from shared.errors import InvalidParameter
from shared.protocols import PROTOCOLS
from shared.settings import Settings

NOWHERE = Path("/nonexistent")  # the user's home and project are not on this machine
_ADDRESS = re.compile(
    r"https?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?"
)


class ConfigFile(msgspec.Struct, frozen=True):
    """A file of the client, as it is where it holds nothing else. `path`: "~" is the user's home."""

    path: str
    content: str


class ClientConfig(msgspec.Struct, frozen=True):
    """All that one client needs."""

    client: str
    protocol: str
    address: str  # this Orchard's, without a slash at its end
    token: bool  # whether the client sends the token in ORCHARD_TOKEN
    files: list[ConfigFile]
    variables: list[str]  # lines for the shell's profile
    notes: list[str]


class Client(msgspec.Struct, frozen=True):
    """A client that can be set up."""

    client: str
    protocol: str


@get("/api/v1/client-config", summary="Clients that can be set up", tags=["set-up"])
async def clients() -> Page[Client]:
    """By protocol."""
    return Page([Client(name, each.name) for each in PROTOCOLS for name in each.setup.clients])


@get("/api/v1/client-config/{client:str}", summary="How a client is set up", tags=["set-up"])
async def client_config(
    request: Request[Any, Any, Any],
    base_urls: BaseUrls,
    settings: Settings,
    client: str,
    token: Annotated[
        bool | None, Parameter(description="Whether it sends a token; else as this Orchard needs")
    ] = None,
    address: Annotated[
        str, Parameter(description="The address that clients use; else the one asked by")
    ] = "",
) -> ClientConfig:
    """As `orchard client-config` shows it for a user without any files of that client."""
    found = next(
        ((each, each.setup.clients[client]) for each in PROTOCOLS if client in each.setup.clients), None
    )
    if found is None:
        known = ", ".join(name for each in PROTOCOLS for name in each.setup.clients)
        raise InvalidParameter(f"client: expected one of {known}")
    protocol, configure = found
    base = address.strip().rstrip("/") or own_address(request, base_urls)
    if not _ADDRESS.fullmatch(base):
        raise InvalidParameter("address: expected http(s)://host, with a port or path if there is one")
    wants_token = not reads_anonymously(settings) if token is None else token
    setup = Setup(
        base,
        NOWHERE / "your-project",
        {"HOME": str(NOWHERE / "~"), "FAKEROOTKEY": "none is root"},
        wants_token,
    )
    try:
        made = configure(setup)
        files = [ConfigFile(_shown(str(each.path)), each.snippet) for each in made.files]
    except CannotEdit as error:
        raise InvalidParameter(f"client: {error.message}", hint=error.hint) from None
    return ClientConfig(
        client,
        protocol.name,
        base,
        wants_token,
        files,
        list(made.variables),
        [_shown(each) for each in made.notes],
    )


def own_address(request: Request[Any, Any, Any], base_urls: BaseUrls) -> str:
    """This Orchard's address, as its clients are told it. Raises `MalformedRequest`."""
    return base_urls.choose(
        request.headers.get("host", "").encode("latin-1", "replace"), request.scope["scheme"]
    )


def _shown(text: str) -> str:
    return text.replace(f"{NOWHERE}/", "")


HANDLERS = [clients, client_config]
