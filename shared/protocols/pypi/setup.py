"""pip's own configuration (pip documentation, "Configuration"), and the settings printed for clients."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from packageurl.contrib import purl2url

from shared.protocols.pypi.clients import CLIENTS
from shared.protocols.roles.setup import Address, ClientHint, Machine, Setup, before

_SECTIONS = ("install", "global")  # a command's own section over [global]
_INDEX = ("index-url", "index_url", "pypi-url", "pypi_url", "i")


class PyPISetup(Setup):
    """pip and uv. Silence ends the wait of pip and poetry after 15 s; uv tries again after 30."""

    certificates_variable: ClassVar[str] = "PIP_CERT"
    clients = CLIENTS

    def installs(self, project: str, version: str) -> tuple[ClientHint, ...]:
        wanted = f"{project}=={version}" if version else project
        return (
            ClientHint("pip", (f"pip install {wanted}",)),
            ClientHint("uv", (f"uv add {wanted}",)),
            ClientHint("poetry", (f"poetry add {wanted}",)),
        )

    def hints(self, address: Address) -> tuple[ClientHint, ...]:
        index = f"{address.base}/pypi/simple/"
        pip = [f"export PIP_INDEX_URL={index}"]
        pdm = [f"pdm config pypi.url {index}"]
        if address.is_plain_and_remote:  # they pass over an index without TLS unless they trust the host
            pip.append(f"export PIP_TRUSTED_HOST={address.host}")
            pdm.append("pdm config pypi.verify_ssl false")
        return (
            ClientHint("pip, pipx, hatch", tuple(pip)),
            ClientHint("uv", (f"export UV_DEFAULT_INDEX={index}",)),
            ClientHint("pdm", tuple(pdm)),
            ClientHint("poetry", (f"poetry source add --priority=primary orchard {index}",)),
        )

    def public_registry(self) -> str:
        # Its page stands beside the simple API (PEP 503) on the same host.
        return before(purl2url.get_repo_url("pkg:pypi/name@1"), "/project/", "/simple/")

    def configured_upstreams(self, machine: Machine) -> Iterator[tuple[str, str]]:
        """In pip's order of precedence: variable, then files."""
        if machine.environ.get("PIP_INDEX_URL"):
            yield machine.environ["PIP_INDEX_URL"].strip(), "PIP_INDEX_URL"
        yield from _option(_INDEX, machine)

    def configured_certificates(self, machine: Machine) -> str:
        return next((value for value, _ in _option(("cert",), machine)), "")


def _option(names: Sequence[str], machine: Machine) -> Iterator[tuple[str, str]]:
    files = [(path, _parsed(machine.read(path))) for path in _files(machine)]
    for section in _SECTIONS:
        for path, parser in reversed(files):  # the last file read wins
            for option in names:
                value = parser.get(section, option, fallback="").strip()
                if value:
                    yield value, f"pip configuration {path}"


def _files(machine: Machine) -> Sequence[Path]:
    """The files that pip reads, least important first; only some of them exist."""
    environ, home = machine.environ, machine.home
    given = environ.get("PIP_CONFIG_FILE", "")
    if given == os.devnull:
        return []
    site_folders = [
        folder for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep) if folder
    ]
    files = [Path(folder, "pip", "pip.conf") for folder in site_folders] + [Path("/etc/pip.conf")]
    if home and not (given and Path(given).exists()):
        user_folder = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        files += [Path(home, ".pip", "pip.conf"), Path(user_folder, "pip", "pip.conf")]
        files.append(Path(home, "Library", "Application Support", "pip", "pip.conf"))  # macOS
    files.append(Path(environ.get("VIRTUAL_ENV") or machine.prefix, "pip.conf"))
    if given:
        files.append(Path(given))
    return files


def _parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return configparser.RawConfigParser()  # broken: pip's business, not ours
    return parser
