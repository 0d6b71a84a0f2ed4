"""The page for people at `/`: a short introduction, and set-up lines to paste."""

from __future__ import annotations

from html import escape
from typing import Any

from litestar import Request, Response, get

from shared.access.exposure import reads_anonymously
from shared.protocols import PROTOCOLS
from shared.protocols.roles.setup import Address, ClientHint
from shared.settings import Settings
from shared.version import VERSION

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;"
    "color:#1d2a1d;background:#fbfcfa}pre{background:#eef2ea;padding:.8rem 1rem;overflow:auto;"
    "border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;margin:.4rem 0}h1{margin-bottom:0}"
    "h2{font-size:1.1rem;margin:1.6rem 0 0}p{margin:.5rem 0}a{color:#2d6a2d}small{color:#586658}"
    "@media(prefers-color-scheme:dark){body{color:#dde5da;background:#141a14}pre{background:#1e281e}"
    "a{color:#8fd08f}small{color:#9aa89a}}"
)

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
    "referrer-policy": "no-referrer",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Orchard</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head><body><main>
<h1>Orchard</h1><p><small>version {version}</small></p>
<p>A caching proxy for package registries. What it served once, it serves again, byte for byte,
also while the registry is away.</p>
{offline}{token}{sections}
<p>Or let the <code>orchard</code> command change a client's own file
(<a href="orchard.pyz">orchard.pyz</a>, Python 3.11 or newer, nothing else; it knows this address):</p>
<pre tabindex="0">curl -fsSO {base}/orchard.pyz
python3 orchard.pyz client-config pip --write</pre>
<h2>This Orchard</h2>
<p><a href="ui/">What is cached</a> · <a href="ui/queues">Queues</a> · <a href="ui/docs/">Documents</a> ·
<a href="api/v1/openapi">API</a></p>
</main></body></html>
"""

_OFFLINE = (
    "<p><strong>Offline:</strong> no registry is asked (ORCHARD_OFFLINE); what is stored is served.</p>\n"
)

_NEEDED = """\
<p><strong>Reading needs a token.</strong> An operator makes one: <code>orchard tokens create NAME</code>.
It opens the pages, too, at the <a href="ui/signin">sign-in</a>. <code>orchard client-config TOOL</code>
says where each client has a place for it. On the machine that runs this Orchard, <code>make run</code> has
written the operator's into the file <code>admin-token</code> of its data folder.</p>
"""

_SECTION = '<h2>{client}</h2>\n{where}<pre tabindex="0">{lines}</pre>\n'


@get("/", include_in_schema=False)
async def page(request: Request[Any, Any, Any], settings: Settings) -> Response[str]:
    """Set-up lines with the address by which this request came."""
    host = request.headers.get("host", f"{settings.host}:{settings.port}")
    base = (
        settings.public_url[0].rstrip("/") if settings.public_url else f"{request.scope['scheme']}://{host}"
    )
    hints = (hint for protocol in PROTOCOLS for hint in protocol.setup.hints(Address(base)))
    sections = "".join(map(_section, hints))
    body = _PAGE.format(
        style=STYLE,
        version=escape(VERSION),
        offline=_OFFLINE if settings.offline else "",
        token="" if reads_anonymously(settings) else _NEEDED,
        sections=sections,
        base=escape(base, quote=False),
    )
    return Response(body, media_type="text/html", headers=HEADERS)


def _section(hint: ClientHint) -> str:
    where = f"<p>{escape(hint.where)}</p>\n" if hint.where else ""
    return _SECTION.format(
        client=escape(hint.client), where=where, lines=escape("\n".join(hint.lines), quote=False)
    )
