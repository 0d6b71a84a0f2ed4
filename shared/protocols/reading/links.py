"""The links of an upstream's document: resolved, checked, and refused with a reason."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from shared.http.urls import MAX_CHARACTERS, why_unaskable
from shared.models import UpstreamSource
from shared.sources.urls import names_private_host, secured

# What needs no work: an absolute http(s) URL of plain characters, without userinfo or fragment.
_CLEAN = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/[!$&'()*+,./:;=?@_~%A-Za-z0-9-]*"
)
_CLEAN_PATH = re.compile(r"/[A-Za-z0-9._~%+-][A-Za-z0-9._~%+!,=@/-]*")
_CLEAN_RELATIVE = re.compile(r"((?:\.\./)*)([A-Za-z0-9_][A-Za-z0-9._~%+!,=@/-]*)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|///")
_HTTP = re.compile(r"https?://[^/?#]", re.IGNORECASE)
_BLANKS = "".join(map(chr, range(0x21)))
_BREAKS = dict.fromkeys(map(ord, "\t\r\n"))
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")

_MAX_DETAILED_DROPS = 1000
_MAX_HOSTS = 1000  # remembered of a document


class Dropped:
    """Collects the entries that a document loses, with the reason; bounded in memory."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def add(self, reason: str, subject: object) -> None:
        """Note one dropped entry or value. `subject` is shown shortened and escaped."""
        if len(self.reasons) < _MAX_DETAILED_DROPS:
            reason = f"{reason}: {ascii(subject)[:120]}"
        self.reasons.append(reason)


class Links:
    """Resolves the links of one document against its base URL."""

    def __init__(self, base: str) -> None:
        self._base = base
        parts = urlsplit(base)
        self._origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._folders: dict[str, str | None] = {}  # what "../.." leads to
        self._hosts = {self._origin: True}  # of others: whether they can be asked

    def absolute(self, href: str) -> str | None:
        """The absolute http(s) URL of a link, without fragment and userinfo; None if it has none.

        An http address of the document's own host is raised to https where that came by https (`secured`).
        Other schemes (javascript:, data:, file:, ftp:), control characters, backslashes and URLs over 8 kB
        give None. Blanks are what browsers make of them (`without_blanks`), and so are non-ASCII characters.
        Userinfo is left out: credentials belong to the source, never to a page.
        """
        found = self._absolute(without_blanks(href.partition("#")[0]))
        return secured(found, self._base) if found and self._is_askable(found) else None

    def _is_askable(self, url: str) -> bool:
        origin = url[: url.index("/", 8)]
        known = self._hosts.get(origin)
        if known is None:
            known = not why_unaskable(f"{origin}/")
            if len(self._hosts) < _MAX_HOSTS:
                self._hosts[origin] = known
        return known

    def _absolute(self, href: str) -> str | None:
        if _CLEAN.fullmatch(href):
            return href if len(href) <= MAX_CHARACTERS else None
        if len(href) > MAX_CHARACTERS or _FORBIDDEN.search(href):
            return None
        if _CLEAN_PATH.fullmatch(href) and "/." not in href:
            return self._origin + href
        found = _CLEAN_RELATIVE.fullmatch(href)
        if found and "/." not in found[2]:
            folder = found[1] or "./"
            if folder not in self._folders:
                self._folders[folder] = self._resolve(folder)
            resolved = self._folders[folder]
            return None if resolved is None else resolved + found[2]
        return self._resolve(href)

    def _resolve(self, href: str) -> str | None:
        if _SCHEME.match(href) and not _HTTP.match(href):
            return None  # "https:///x" and "https:x" mean different hosts to different parsers
        try:
            parts = urlsplit(urljoin(self._base, href))
            host = parts.netloc.rpartition("@")[2]
            parts.port  # noqa: B018  # raises ValueError for a port that is none
        except ValueError:
            return None
        path = quote(parts.path or "/", safe="!$&'()*+,/:;=@_~%-.")
        query = quote(parts.query, safe="!$&'()*+,/:;=?@_~%-.")
        url = urlunsplit((parts.scheme, host, path, query, ""))
        return url if _CLEAN.fullmatch(url) else None


def without_blanks(href: str) -> str:
    """A link without the blanks around it and the line ends and tabs in it (WHATWG URL, basic parser, 1-3):
    pages are written by hand and by templates, and every client reads them so."""
    href = href.strip(_BLANKS)
    return href if href.isprintable() else href.translate(_BREAKS)


def with_suffix(url: str, suffix: str) -> str:
    """The URL of a file's companion: the suffix goes onto the path (PEP 658), before any query."""
    path, question_mark, query = url.partition("?")
    return f"{path}{suffix}{question_mark}{query}"


def why_refused(url: str, source: UpstreamSource) -> str:
    """Why a source's file may not be fetched from an address, "" if it may."""
    host, own = urlsplit(url).hostname or "", urlsplit(source.url).hostname or ""
    if host == own:
        return ""
    if source.allowed_hosts and host not in source.allowed_hosts:
        return "at a host that is not allowed"
    if names_private_host(url) and not source.allow_private:
        return "at a private address"
    return ""
