"""What `dist` tells of a tarball: where it is at the upstream, and its digests (SSRI, `shasum`)."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urljoin, urlsplit, urlunsplit

from shared.models import UpstreamSource
from shared.protocols.npm import names
from shared.protocols.npm.document import Fields, value_of
from shared.source_urls import names_private_host

_BYTES = {"sha512": 64, "sha384": 48, "sha256": 32, "sha1": 20}
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


def hashes_of(dist: Fields) -> dict[str, str]:
    """Algorithm → hex. `integrity` is Subresource Integrity: several digests, base64, with options.

    Of several digests of one algorithm the first counts. `shasum` is SHA-1.
    """
    found: dict[str, str] = {}
    integrity = value_of(dist.get("integrity"))
    if isinstance(integrity, str):
        for token in integrity.split():
            algorithm, _, encoded = token.partition("?")[0].partition("-")
            try:
                digest = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                continue
            if len(digest) == _BYTES.get(algorithm):
                found.setdefault(algorithm, digest.hex())
    shasum = value_of(dist.get("shasum"))
    if isinstance(shasum, str) and _SHA1.fullmatch(shasum):
        found.setdefault("sha1", shasum.lower())
    return found


def tarball_url(dist: Fields, base: str) -> str:
    """The absolute address of the tarball; "" if there is none or it is none over http(s)."""
    text = value_of(dist.get("tarball"))
    if not isinstance(text, str) or not text or not text.isprintable():
        return ""
    try:
        url = urljoin(base, text)
        parts, own = urlsplit(url), urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return ""
        if (parts.scheme, own.scheme) == ("http", "https") and parts.hostname == own.hostname:
            # A registry behind TLS that does not know it: its files are where it is itself.
            return urlunsplit(parts._replace(scheme="https", netloc=own.netloc))
    except ValueError:
        return ""
    return url


def why_refused(url: str, source: UpstreamSource) -> str:
    """Why a tarball's address cannot be served from, "" if it can."""
    if not url:
        return "dist.tarball is no http(s) address"
    host, own = urlsplit(url).hostname or "", urlsplit(source.url).hostname or ""
    if host == own:
        return ""
    if source.allowed_hosts and host not in source.allowed_hosts:
        return "dist.tarball is at a host that is not allowed"
    if names_private_host(url) and not source.allow_private:
        return "dist.tarball is at a private address"
    return ""


def served_name(name: str, version: str, url: str) -> str:
    """The upstream's own file name where it tells the version apart from all others, else the usual one."""
    basename = urlsplit(url).path.rpartition("/")[2]
    if basename.endswith(f"-{version}.tgz") and names.is_tarball(basename):
        return basename
    return names.tarball_name(name, version)
