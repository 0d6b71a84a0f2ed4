"""The upstream that is used when none is set: the index this machine's own client is configured for,
else the ecosystem's public registry as packageurl-python knows it. No registry's host is written here.
"""

from __future__ import annotations

import configparser
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from packageurl.contrib import purl2url

from shared.errors import ConfigurationError
from shared.source_urls import is_loopback

_PIP_SECTIONS = ("install", "global")  # pip: a command's own section over [global]


def default_upstream(
    protocol: str, environ: Mapping[str, str], own_port: int, *, prefix: str = sys.prefix
) -> tuple[str, str]:
    """URL (it may hold credentials) and where it was found, for the banner.

    `own_port` is this Orchard's: a client that is already set up to use it would make a loop.
    `prefix` is the Python environment whose pip configuration counts. Raises `ConfigurationError`
    naming the variable to set if nothing is known.
    """
    for url, origin in _client_configuration(protocol, environ, prefix):
        if url.startswith(("http://", "https://")) and not _is_this_orchard(url, protocol, own_port):
            return url, origin
    url = _public_registry(protocol)
    if not url:
        raise ConfigurationError(f"ORCHARD_{protocol.upper()}_UPSTREAM: not set, and no default is known")
    return url, "the public registry"


def client_certificates(protocol: str, environ: Mapping[str, str], *, prefix: str = sys.prefix) -> str:
    """The file of authorities that this machine's client of a protocol believes (pip's `cert`, npm's
    `cafile`), as its configuration files say; "" if none does."""
    found = ""
    if protocol == "pypi":
        found = next((value for value, _ in _pip_option(("cert",), environ, prefix)), "")
    elif protocol == "npm":
        found = next((value for value, _ in _npmrc("cafile", environ)), "")
    home = environ.get("HOME", "")
    return f"{home}{found[1:]}" if found.startswith("~/") and home else found


def _is_this_orchard(url: str, protocol: str, own_port: int) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    if not is_loopback(host) and host != socket.gethostname().lower():
        return False  # another machine's Orchard is a good upstream; Via tells a loop
    return port == own_port or parts.path.startswith(f"/{protocol}/")


# --- the machine's own client ---------------------------------------------------------------------


def _client_configuration(
    protocol: str, environ: Mapping[str, str], prefix: str
) -> Iterator[tuple[str, str]]:
    if protocol == "pypi":
        yield from _pip(environ, prefix)
    elif protocol == "npm":
        yield from _npm(environ)


def _pip(environ: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    """In pip's order of precedence (pip documentation, "Configuration"): variable, then files."""
    if environ.get("PIP_INDEX_URL"):
        yield environ["PIP_INDEX_URL"].strip(), "PIP_INDEX_URL"
    yield from _pip_option(("index-url", "index_url", "pypi-url", "pypi_url", "i"), environ, prefix)


def _pip_option(names: Sequence[str], environ: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    files = [(path, _read_ini(path)) for path in _pip_files(environ, prefix)]
    for section in _PIP_SECTIONS:
        for path, parser in reversed(files):  # the last file read wins
            for option in names:
                value = parser.get(section, option, fallback="").strip()
                if value:
                    yield value, f"pip configuration {path}"


def _pip_files(environ: Mapping[str, str], prefix: str) -> Sequence[Path]:
    """The files that pip reads, least important first; only some of them exist."""
    given = environ.get("PIP_CONFIG_FILE", "")
    if given == os.devnull:
        return []
    site_folders = [
        folder for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep) if folder
    ]
    files = [Path(folder, "pip", "pip.conf") for folder in site_folders] + [Path("/etc/pip.conf")]
    home = environ.get("HOME", "")
    if home and not (given and Path(given).exists()):
        user_folder = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        files += [Path(home, ".pip", "pip.conf"), Path(user_folder, "pip", "pip.conf")]
        files.append(Path(home, "Library", "Application Support", "pip", "pip.conf"))  # macOS
    files.append(Path(environ.get("VIRTUAL_ENV") or prefix, "pip.conf"))
    if given:
        files.append(Path(given))
    return files


def _read_ini(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return configparser.RawConfigParser()  # absent or broken: pip's business, not ours
    return parser


def _npm(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """npm's `registry`: variable (any case), then the user's .npmrc (npm documentation, "config")."""
    for key, value in environ.items():
        if key.lower() == "npm_config_registry" and value:
            yield value.strip(), key
    yield from _npmrc("registry", environ)


def _npmrc(name: str, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    path = Path(environ.get("NPM_CONFIG_USERCONFIG") or Path(environ.get("HOME", ""), ".npmrc"))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == name and value.strip():
            yield value.strip().strip("\"'"), f"npm configuration {path}"


# --- the ecosystem's public registry ----------------------------------------------------------------


def _public_registry(protocol: str) -> str:
    """The base of a package's address as packageurl-python builds it, "" if it builds none."""
    if protocol == "pypi":
        # Its page stands beside the simple API (PEP 503) on the same host.
        return _before(purl2url.get_repo_url("pkg:pypi/name@1"), "/project/", "/simple/")
    if protocol == "npm":
        return _before(purl2url.get_download_url("pkg:npm/name@1"), "/name/", "/")
    if protocol == "maven":
        return _before(purl2url.get_download_url("pkg:maven/group/name@1"), "/group/", "/")
    return ""


def _before(url: str | None, marker: str, ending: str) -> str:
    base, found, _ = (url or "").partition(marker)
    return base + ending if found else ""
