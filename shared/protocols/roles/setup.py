"""`Setup`: a protocol's default upstream, set-up lines for its clients, and how long they wait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec

from shared.clientfiles.setup import Configure

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Machine(msgspec.Struct, frozen=True):
    """The part of this machine that may be read: environment variables, and files through `read`."""

    environ: Mapping[str, str]
    prefix: str  # of the Python environment whose configuration counts
    read: Callable[[Path], str]  # "" for a file that is not there or cannot be read

    @property
    def home(self) -> str:
        """The user's folder, "" where nobody tells."""
        return self.environ.get("HOME", "")


class Address(msgspec.Struct, frozen=True):
    """This Orchard's public address: "https://packages.example.com", without a slash at its end."""

    base: str

    @property
    def host(self) -> str:
        return urlsplit(self.base).hostname or ""

    @property
    def is_plain(self) -> bool:
        """Whether it is plain http, which some clients take only when told to."""
        return self.base.startswith("http://")

    @property
    def is_plain_and_remote(self) -> bool:
        return self.is_plain and self.host not in LOOPBACK


class ClientHint(msgspec.Struct, frozen=True):
    """What a person does to use one client, or several that are alike, with this Orchard."""

    client: str  # "npm, pnpm, yarn 1"
    lines: tuple[str, ...]  # to be pasted as they stand
    where: str = ""  # what to do with the lines, if they are no commands: "in ~/.m2/settings.xml, …"


class Setup(ABC):
    """Used at start, by pages for people and by the command, never while a package request is answered."""

    client_seconds: ClassVar[float] = 10.0
    """How long its clients wait for a silent server, or a little less. The variable
    ORCHARD_<NAME>_REQUEST_TIMEOUT counts before it. Load balancers mostly cut after 60 s."""

    certificates_variable: ClassVar[str] = ""
    """The environment variable that names its client's file of certificate authorities, which the fetcher
    uses too: "PIP_CERT"."""

    clients: ClassVar[Mapping[str, Configure]] = {}
    """How each client's own files are set up, by the name of its command: `CLIENTS` of the protocol's
    clients.py, which `orchard client-config` reads too."""

    def installs(self, project: str, version: str) -> tuple[ClientHint, ...]:
        """What a person types to use one version of a package ("": whichever is newest)."""
        return ()

    @abstractmethod
    def hints(self, address: Address) -> tuple[ClientHint, ...]:
        """Set-up lines for the home page and the banner, client by client."""

    @abstractmethod
    def public_registry(self) -> str:
        """The ecosystem's public registry as packageurl-python knows it, "" if it does not. No registry's
        host is written in Orchard."""

    def configured_upstreams(self, machine: Machine) -> Iterator[tuple[str, str]]:
        """Addresses that this machine's own client is configured for, the strongest first, each with the
        variable or file that says so."""
        return iter(())

    def configured_certificates(self, machine: Machine) -> str:
        """The file of authorities that the client's configuration files name, "" for none."""
        return ""


def before(url: str | None, marker: str, ending: str) -> str:
    """The part of an address before `marker`, with `ending`: a registry's root out of a package's page."""
    base, found, _ = (url or "").partition(marker)
    return base + ending if found else ""
