"""What is answered for a stored file: headers, slices, checksums; pure functions of facts and conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate

from services.gateway.serving.pieces import Piece, cut
from services.gateway.serving.ports import CacheWord, Reply, known_of
from services.gateway.serving.surrogate_keys import file_names
from shared.errors import DigestMismatch, FileNotFound
from shared.http.conditions import Conditions, etag_matches, is_not_modified
from shared.models import StoredFile
from shared.protocols import protocol_named
from shared.protocols.resource import Resource

IMMUTABLE = b"max-age=31536000, immutable"  # RFC 8246: for addresses that hold the digest
SEALED = b"max-age=86400"  # a sealed file whose address promises no digest
PROVISIONAL = b"max-age=300"  # metadata that was read before its file was stored: it may be replaced
SENT_DIRECTLY_BYTES = 64 * 1024  # a redirect costs a client more than so few bytes
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!~-]{0,254}")


def artifact_reply(
    resource: Resource, conditions: Conditions, facts: StoredFile, word: CacheWord
) -> tuple[Reply, Piece | None]:
    """The reply for a sealed file without its body, and the piece that the body is.

    None instead of the piece: the reply has no body (304, 416, HEAD). Raises `DigestMismatch`.
    """
    if resource.sha256 and facts.sha256 != resource.sha256:
        raise DigestMismatch(f"{resource.filename} is stored with another digest than its address promises")
    etag = f'"{facts.sha256}"'
    modified_at = facts.modified or facts.created_at
    modified = http_date(modified_at)
    headers = common_headers(resource, etag)
    if facts.provisional:
        headers[0] = (b"cache-control", PROVISIONAL)
    headers += _checksums(resource, facts)
    headers += passed_on(modified_at, facts.headers)
    if conditions.edge:
        headers.append(file_names(resource))
    if is_not_modified(conditions.if_none_match, conditions.if_modified_since, etag, modified):
        return Reply(304, word, headers, file=known_of(facts)), None
    headers += entity_headers(resource, facts.content_type)
    reply = Reply(200, word, headers, file=known_of(facts))
    return cut(reply, conditions, etag=etag, size_bytes=facts.size_bytes, what=resource.filename)


def common_headers(resource: Resource, etag: str) -> list[tuple[bytes, bytes]]:
    """Headers of every answer with a file: Cache-Control, Accept-Ranges, ETag."""
    headers = [
        (b"cache-control", IMMUTABLE if resource.sha256 else SEALED),
        (b"accept-ranges", b"bytes"),
    ]
    if etag:
        headers.append((b"etag", etag.encode("latin-1")))
    return headers


def passed_on(modified_at: float, kept: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Last-Modified of a file's source (unix seconds), and the response headers that its protocol keeps."""
    modified = http_date(modified_at)
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in kept.items()]
    return [(b"last-modified", modified), *headers] if modified else headers


def http_date(seconds: float) -> bytes:
    """Unix seconds as RFC 9110 §5.6.7 writes them; b"" for 0."""
    return formatdate(seconds, usegmt=True).encode() if seconds else b""


def _checksums(resource: Resource, facts: StoredFile) -> list[tuple[bytes, bytes]]:
    if not facts.digests:
        return []
    grammar = protocol_named(resource.protocol).grammar
    told = grammar.digest_headers({**facts.digests, "sha256": facts.sha256})
    return [(name.encode(), digest.encode()) for name, digest in told.items()]


def sidecar_reply(resource: Resource, conditions: Conditions, facts: StoredFile, word: CacheWord) -> Reply:
    """The checksum file of a stored file. Raises `FileNotFound` for a hash that is not stored."""
    digest = facts.sha256 if resource.sidecar == "sha256" else facts.digests.get(resource.sidecar, "")
    if not digest:
        raise FileNotFound(f"no {resource.sidecar} is kept of {resource.filename}")
    etag = f'"{resource.sidecar}-{digest}"'
    headers = [(b"cache-control", SEALED), (b"etag", etag.encode())]
    if conditions.edge:
        headers.append(file_names(resource))
    if etag_matches(conditions.if_none_match, etag):
        return Reply(304, word, headers, file=known_of(facts))
    headers += [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(digest))]
    return Reply(200, word, headers, body=None if conditions.head else digest.encode(), file=known_of(facts))


def entity_headers(resource: Resource, content_type: str) -> list[tuple[bytes, bytes]]:
    """Content-Type and Content-Disposition. A stored file is untrusted data: a browser saves it, and runs
    nothing."""
    headers = [(b"content-type", (content_type or "application/octet-stream").encode("latin-1", "replace"))]
    if PLAIN_NAME.fullmatch(resource.filename):
        headers.append((b"content-disposition", b'attachment; filename="%s"' % resource.filename.encode()))
    else:
        headers.append((b"content-disposition", b"attachment"))
    return headers
