"""Feeds at addresses: asked conditionally, bounded, compared with the checksum that the answer tells."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from services.fetcher.feeds.files import UnreadableFeed
from services.fetcher.http.errors import error_of_status
from services.fetcher.http.manager import HttpClientManager
from shared.errors.passing import UpstreamTimeout, UpstreamUnavailable
from shared.models import UpstreamSource
from shared.protocols import PROTOCOLS

MOST_BYTES = 2 * 1024**3
DEADLINE_SECONDS = 600.0

_DIGEST = re.compile(r"(sha-256|sha-512)\s*=\s*([^,]*)")
_MD5 = re.compile(r"md5=([^,]*)")


class Feed(msgspec.Struct, frozen=True):
    """A feed as it is set. `name` shows no password and no query, which may be a signature."""

    name: str
    path: Path | None = None  # of a folder or a file
    source: UpstreamSource | None = None  # where it is asked for


def feed_of(text: str, number: int) -> Feed:
    """The feed that a part of the setting means; `number`: its place there."""
    if "://" not in text:
        return Feed(text, path=Path(text))
    parts = urlsplit(text)
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    source = UpstreamSource(
        id=-1 - number,  # no row's
        protocol=PROTOCOLS[0].name,
        name=f"osv-{number}",
        url=url,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
    name = urlunsplit(urlsplit(url)._replace(query=""))
    if parts.query:  # two addresses that differ in it are two feeds
        name += f"#{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}"
    return Feed(name, source=source)


async def download(http: HttpClientManager, source: UpstreamSource, etag: str, target: Path) -> str:
    """Write what the feed has now to `target`; its ETag, or "" if it is what it was. `etag`: of what was
    read last; "": nothing was. Raises `UnreadableFeed`, and why it does not answer."""
    headers = {"if-none-match": etag} if etag else {}
    try:
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            http.stream(source, source.url, headers=headers) as response,
        ):
            if response.status == 304 and etag:
                return ""
            if response.status != 200:
                where = "the feed"
                failure = error_of_status(response.status, response.headers, where)
                raise failure or UpstreamUnavailable(f"{where} answered {response.status}")
            hashes = {name: hashlib.new(name, usedforsecurity=False) for name in ("md5", "sha256", "sha512")}
            received = 0
            with target.open("wb") as file:
                async for piece in response.chunks():
                    received += len(piece)
                    if received > MOST_BYTES:
                        raise UnreadableFeed(f"it is larger than {MOST_BYTES} bytes")
                    for each in hashes.values():
                        each.update(piece)
                    file.write(piece)
            if response.content_length not in (None, received):
                raise UnreadableFeed("it was cut off")
            digests = {name: each.digest() for name, each in hashes.items()}
            if any(digests[name] != told for name, told in _told(response.headers)):
                raise UnreadableFeed("it has another checksum than its answer tells")
            return response.headers.get("etag", "") or f"sha256:{digests['sha256'].hex()}"
    except TimeoutError:
        raise UpstreamTimeout(f"the feed took longer than {DEADLINE_SECONDS:.0f} s") from None


def _told(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Checksums of the body: RFC 9530, RFC 1864, and the header of Google's storage. Raises `UnreadableFeed`
    for one that cannot be read: nothing could be compared with it."""
    found = []
    for field in ("repr-digest", "content-digest"):
        for name, value in _DIGEST.findall(headers.get(field, "")):
            found.append((name.replace("-", ""), value.strip().removeprefix(":").removesuffix(":")))
    found += [("md5", value) for value in _MD5.findall(headers.get("x-goog-hash", ""))]
    if headers.get("content-md5"):
        found.append(("md5", headers["content-md5"]))
    try:
        return [(name, base64.b64decode(value.strip(), validate=True)) for name, value in found]
    except (binascii.Error, ValueError):
        raise UnreadableFeed("its answer tells a checksum that cannot be read") from None
