"""The text printed once Orchard runs: address, set-up lines, where data and logs are."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from services.standalone.table import reachable
from shared.access.exposure import reads_anonymously
from shared.protocols import PROTOCOLS
from shared.protocols.roles.setup import Address
from shared.settings import Settings

NAME_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Upstream:
    """Which upstream was taken for a protocol, and why."""

    protocol: str
    urls: tuple[str, ...]
    origin: str


def base_url(settings: Settings) -> str:
    """The address to show: the first public one if there is any, without a slash at its end."""
    if settings.public_url:
        return settings.public_url[0].rstrip("/")
    return own_url(settings, settings.port)


def own_url(settings: Settings, port: int) -> str:
    """The gateway's own address on this machine, at that port."""
    host = reachable(settings.host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def banner(
    settings: Settings,
    upstreams: Sequence[Upstream],
    data: Path,
    logs: Path,
    admin_token_at: str,
    gateways: int = 1,
) -> str:
    """The whole text; no line holds a secret."""
    base = base_url(settings)
    lines = ["", f"Orchard is ready: {base}/", ""]
    for protocol in PROTOCOLS:
        for hint in protocol.setup.hints(Address(base)):
            pasted = [hint.where, *hint.lines] if hint.where else [*hint.lines]
            if len(hint.client) > NAME_WIDTH:  # several clients that are alike
                lines.append(f"  {hint.client}")
            first = hint.client if len(hint.client) <= NAME_WIDTH else ""
            named = zip_longest([first], pasted, fillvalue="")
            lines += [f"  {name:<{NAME_WIDTH}} {line}" for name, line in named]
    at = "" if base == own_url(Settings(), Settings().port) else f" --url {base}"
    lines += [f"  or        {command_here()} client-config TOOL --write{at}", ""]
    if gateways > 1:
        others = [own_url(settings, settings.port + index) for index in range(1, gateways)]
        lines.append(f"  gateways  the same at {', '.join(others)}")
    if settings.offline:
        lines.append("  upstream  none is asked (ORCHARD_OFFLINE)")
    for upstream in upstreams:
        shown = ", ".join(without_secrets(url) for url in upstream.urls)
        lines.append(f"  upstream  {upstream.protocol}: {shown} [{upstream.origin}]")
    if not reads_anonymously(settings):
        lines.append("  reading   needs a token: docs/access.md says how each client is given one")
    lines.append(f"  admin     token in {admin_token_at}")
    lines += [f"  data      {data}", f"  logs      {logs}", "", "Ctrl-C stops it.", ""]
    return "\n".join(lines)


def command_here() -> str:
    """How the `orchard` command is called in this shell: by its name, or of a checkout by its path."""
    own = Path(sys.executable).with_name("orchard")
    if shutil.which("orchard") or not own.exists():
        return "orchard"
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else str(own)


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
