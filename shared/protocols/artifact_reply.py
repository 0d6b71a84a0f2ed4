"""What is answered for a stored file: headers, slices, checksums; pure functions of facts and conditions."""

from __future__ import annotations

import re
from email.utils import formatdate

from shared.errors import DigestMismatch, FileNotFound, RangeNotSatisfiable
from shared.models import ArtifactFacts
from shared.protocols.conditions import (
    Conditions,
    Unsatisfiable,
    etag_matches,
    parse_range,
    range_applies,
)
from shared.protocols.ports import CacheWord, Reply
from shared.protocols.resource import Resource

IMMUTABLE = b"max-age=31536000, immutable"  # RFC 8246: for addresses that hold the digest
SEALED = b"max-age=86400"  # a sealed file whose address promises no digest
SENT_DIRECTLY_BYTES = 64 * 1024  # a redirect costs a client more than so few bytes
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!~-]{0,254}")


def artifact_reply(
    resource: Resource, conditions: Conditions, facts: ArtifactFacts, word: CacheWord
) -> tuple[Reply, tuple[int, int] | None]:
    """The reply for a sealed file without its body, and the slice (start, length) that the body is.

    None instead of the slice: the reply has no body (304, 416, HEAD). Raises `DigestMismatch`.
    """
    if resource.sha256 and facts.sha256 != resource.sha256:
        raise DigestMismatch(f"{resource.filename} is stored with another digest than its address promises")
    etag = f'"{facts.sha256}"'
    seconds = facts.modified or facts.created_at
    modified = formatdate(seconds, usegmt=True).encode() if seconds else b""
    headers = common_headers(resource, etag)
    headers += _checksums(resource, facts)
    if modified:
        headers.append((b"last-modified", modified))
    # RFC 9110 §13.2.2: If-None-Match, else If-Modified-Since, before any Range.
    if conditions.if_none_match:
        if etag_matches(conditions.if_none_match, etag):
            return Reply(304, word, headers, sha256=facts.sha256), None
    elif modified and conditions.if_modified_since.strip() == modified:
        return Reply(304, word, headers, sha256=facts.sha256), None
    headers += entity_headers(resource, facts.content_type)
    size = facts.size_bytes
    wanted = None
    if conditions.range and not conditions.head and range_applies(conditions.if_range, etag):
        wanted = parse_range(conditions.range, size)
    if isinstance(wanted, Unsatisfiable):
        error = RangeNotSatisfiable(f"{resource.filename} has {size} bytes")
        return Reply(416, word, [(b"content-range", b"bytes */%d" % size)], error=error), None
    if wanted is not None:
        last = wanted.start + wanted.length - 1
        headers.append((b"content-range", b"bytes %d-%d/%d" % (wanted.start, last, size)))
        headers.append((b"content-length", b"%d" % wanted.length))
        return Reply(206, word, headers, sha256=facts.sha256), (wanted.start, wanted.length)
    headers.append((b"content-length", b"%d" % size))
    return Reply(200, word, headers, sha256=facts.sha256), None if conditions.head else (0, size)


def common_headers(resource: Resource, etag: str) -> list[tuple[bytes, bytes]]:
    """What every answer with a file has: how long it may be kept, ranges, ETag."""
    headers = [
        (b"cache-control", IMMUTABLE if resource.sha256 else SEALED),
        (b"accept-ranges", b"bytes"),
    ]
    if etag:
        headers.append((b"etag", etag.encode("latin-1")))
    return headers


def _checksums(resource: Resource, facts: ArtifactFacts) -> list[tuple[bytes, bytes]]:
    """X-Checksum-*, where files have checksum files beside them (Maven Resolver, "smart checksums": a
    client that finds one of these headers does not ask for a checksum file)."""
    if not resource.direct or not facts.digests:
        return []
    found = {**facts.digests, "sha256": facts.sha256}
    return [(f"x-checksum-{name}".encode(), digest.encode()) for name, digest in found.items()]


def sidecar_reply(resource: Resource, conditions: Conditions, facts: ArtifactFacts, word: CacheWord) -> Reply:
    """The checksum file of a stored file. Raises `FileNotFound` for a hash that is not kept."""
    digest = facts.sha256 if resource.sidecar == "sha256" else facts.digests.get(resource.sidecar, "")
    if not digest:
        raise FileNotFound(f"no {resource.sidecar} is kept of {resource.filename}")
    etag = f'"{resource.sidecar}-{digest}"'
    headers = [(b"cache-control", SEALED), (b"etag", etag.encode())]
    if etag_matches(conditions.if_none_match, etag):
        return Reply(304, word, headers)
    headers += [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(digest))]
    return Reply(200, word, headers, body=None if conditions.head else digest.encode(), sha256=facts.sha256)


def entity_headers(resource: Resource, content_type: str) -> list[tuple[bytes, bytes]]:
    """Type and name. A stored file is data from a stranger: a browser saves it, and runs nothing."""
    headers = [(b"content-type", (content_type or "application/octet-stream").encode("latin-1", "replace"))]
    if PLAIN_NAME.fullmatch(resource.filename):
        headers.append((b"content-disposition", b'attachment; filename="%s"' % resource.filename.encode()))
    else:
        headers.append((b"content-disposition", b"attachment"))
    return headers
