"""Protection from other sites' pages in a browser on this machine: Host allow-list, and no cross-site
changes.

Where Orchard listens on loopback, that is all that keeps others out, and a browser carries any page's
requests there: by its own name for 127.0.0.1 (DNS rebinding), seen in the Host header, or from its own site,
seen in Origin (Fetch, 3.2) and Sec-Fetch-Site (Fetch Metadata, 2.4). Tools other than browsers send neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from shared.errors import Forbidden, UnknownHost
from shared.settings import Settings
from shared.sources.urls import is_loopback

Headers = dict[bytes, bytes]

READING = ("GET", "HEAD", "OPTIONS")
MOST_KNOWN = 256  # spellings (with ports) that are remembered
_FOREIGN = ("cross-site", "same-site")


class KnownHosts:
    """The names by which this gateway is called. `limited`: others are refused.

    A request without a Host (HTTP/1.0) is no browser's.
    """

    def __init__(self, settings: Settings) -> None:
        local = is_loopback(settings.host)
        names = {each.lower() for each in settings.allowed_hosts}
        self.limited = bool(names or local) and "*" not in names
        self._local = local
        self._names = names | {settings.host.lower()} | {_name(_host_of(url)) for url in settings.public_url}
        self.known: set[bytes | None] = {None, b""}

    def check(self, host: bytes) -> None:
        """Raises `UnknownHost`. `host` is the header as the peer sent it, before a trusted proxy's
        X-Forwarded-Host."""
        name = _name(host.decode("latin-1").strip().lower())
        # Without a list, names of loopback are right everywhere: a page of another site cannot have them.
        if name not in self._names and not is_loopback(name):
            raise UnknownHost(
                "this Orchard is not called by that Host; set ORCHARD_PUBLIC_URL or ORCHARD_ALLOWED_HOSTS to "
                "the name that clients use"
            )
        if len(self.known) < MOST_KNOWN:
            self.known.add(host)


def check_page(host: str, origin: str | None, site: str | None, public_urls: Iterable[str]) -> None:
    """Raises `Forbidden` for a request that a page of another site started; for requests that do more than
    read.

    `host`, `origin` and `site` are the headers Host, Origin and Sec-Fetch-Site.
    """
    own = {host.lower(), *map(_host_of, public_urls)}
    if site in _FOREIGN or (origin is not None and _host_of(origin) not in own):
        raise Forbidden(
            "the page of another site cannot change anything in this Orchard",
            hint="Open this Orchard's own page, or use `orchard`; ORCHARD_PUBLIC_URL names its addresses.",
        )


def check_page_of(headers: Headers, public_urls: Iterable[str]) -> None:
    """`check_page` on headers as they came."""
    host, origin, site = (headers.get(each) for each in (b"host", b"origin", b"sec-fetch-site"))
    if origin is None and site is None:
        return
    check_page(
        (host or b"").decode("latin-1"),
        None if origin is None else origin.decode("latin-1"),
        None if site is None else site.decode("latin-1"),
        public_urls,
    )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower() or "-"
    except ValueError:
        return "-"


def _name(netloc: str) -> str:
    """Without port and brackets."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0]
    return netloc.partition(":")[0].rstrip(".")
