"""What a person reads once Orchard runs: the address, the lines to paste, where things are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from services.standalone.table import reachable
from shared.exposure import reads_anonymously
from shared.settings import Settings


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
    index = f"{base}/pypi/simple/"
    host = urlsplit(base).hostname or ""
    plain_and_remote = base.startswith("http://") and host not in ("127.0.0.1", "::1", "localhost")
    lines = ["", f"Orchard is ready: {base}/", ""]
    lines += [f"  pip       export PIP_INDEX_URL={index}"]
    if plain_and_remote:  # pip passes over an index without TLS unless it is told to trust the host
        lines += [f"            export PIP_TRUSTED_HOST={host}"]
    lines += [f"  uv        export UV_DEFAULT_INDEX={index}"]
    lines += [f"  npm       npm config set registry {base}/npm/   (pnpm and yarn 1 alike)"]
    lines += [f"  yarn 4    yarn config set npmRegistryServer {base}/npm/"]
    if base.startswith("http://"):  # yarn 4 asks over plain http only where it is told to
        lines += [f"            yarn config set unsafeHttpWhitelist --json '[\"{host}\"]'"]
    mirror = f"<id>orchard</id><mirrorOf>*</mirrorOf><url>{base}/maven/</url>"
    lines += ["  mvn       in ~/.m2/settings.xml, inside <settings>:"]
    lines += [f"            <mirrors><mirror>{mirror}</mirror></mirrors>"]
    lines.append("")
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


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
