"""The page for people at `/`: what this is, and the lines to paste."""

from __future__ import annotations

from html import escape
from typing import Any

from litestar import Request, Response, get

from shared.protocols import PROTOCOLS
from shared.version import VERSION

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;"
    "color:#1d2a1d;background:#fbfcfa}pre{background:#eef2ea;padding:.8rem 1rem;overflow:auto;"
    "border-radius:6px}h1{margin-bottom:0}a{color:#2d6a2d}small{color:#667}"
    "@media(prefers-color-scheme:dark){body{color:#dde5da;background:#141a14}pre{background:#1e281e}"
    "a{color:#8fd08f}}"
)

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
    "referrer-policy": "no-referrer",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Orchard</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head><body>
<h1>Orchard</h1><p><small>version {version}</small></p>
<p>A caching proxy for package registries. What it served once, it serves again, byte for byte,
also while the registry is away.</p>
{sections}
<h2>This Orchard</h2>
<p><a href="ui/queues">Queues</a> · <a href="health">Health</a> · <a href="metrics">Metrics</a> ·
<a href="api/v1/openapi">API</a></p>
</body></html>
"""

_SECTIONS = {
    "pypi": """<h2>pip</h2>
<pre>pip config set global.index-url {base}/pypi/simple/</pre>
<p>or for one command:</p>
<pre>pip install --index-url {base}/pypi/simple/ flask</pre>
<h2>uv</h2>
<pre>export UV_DEFAULT_INDEX={base}/pypi/simple/
uv pip install flask</pre>
""",
    "npm": """<h2>npm, pnpm, yarn 1</h2>
<pre>npm config set registry {base}/npm/</pre>
<h2>yarn 4</h2>
<pre>yarn config set npmRegistryServer {base}/npm/</pre>
<p>and, over plain http, the host in <code>unsafeHttpWhitelist</code>.</p>
""",
    "maven": """<h2>mvn</h2>
<p>In <code>~/.m2/settings.xml</code>, inside <code>&lt;settings&gt;</code>:</p>
<pre>&lt;mirrors&gt;&lt;mirror&gt;
  &lt;id&gt;orchard&lt;/id&gt;&lt;mirrorOf&gt;*&lt;/mirrorOf&gt;
  &lt;url&gt;{base}/maven/&lt;/url&gt;
&lt;/mirror&gt;&lt;/mirrors&gt;</pre>
""",
}


@get("/", include_in_schema=False)
async def page(request: Request[Any, Any, Any]) -> Response[str]:
    """Set-up lines with the address by which this request came."""
    settings = request.app.state.application.settings
    host = request.headers.get("host", f"{settings.host}:{settings.port}")
    base = (
        settings.public_url[0].rstrip("/") if settings.public_url else f"{request.scope['scheme']}://{host}"
    )
    sections = "".join(
        _SECTIONS[protocol.name].format(base=escape(base))
        for protocol in PROTOCOLS
        if protocol.name in _SECTIONS
    )
    body = _PAGE.format(style=STYLE, version=escape(VERSION), sections=sections)
    return Response(body, media_type="text/html", headers=HEADERS)
