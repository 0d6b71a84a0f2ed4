"""What becomes an entry of the ledger, and what does not (docs/ledger.md has the table)."""

from __future__ import annotations

from services.gateway.serving.ports import Reply
from shared.errors import Blocked, OrchardError
from shared.ledger.batch import PARTIAL, REDIRECTED, REFUSED, SERVED, File, encode_file
from shared.models import FileName
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Redirect, Resource

_RESULTS = {200: SERVED, 206: PARTIAL, 307: REDIRECTED}


class Entry:
    """What was served or refused, and how. Compared by identity: a finished answer has one, made once."""

    __slots__ = ("cache", "code", "file", "result")

    def __init__(self, file: File, result: int, cache: str, code: str = "") -> None:
        self.file = encode_file(file)  # once, where the answer is kept
        self.result = result  # place in `RESULTS`
        self.cache = cache
        self.code = code


def entry_of_reply(
    protocol: PackageProxyBase, resource: Resource | Redirect, reply: Reply, status: int
) -> Entry | None:
    """Of a reply to a GET that went out whole; None for what is no serving of a file."""
    result = _RESULTS.get(status)
    if result is None or isinstance(resource, Redirect) or not protocol.grammar.gives_file(resource):
        return None
    # A relay knows the digest once it has ended.
    sha256 = reply.file.sha256 or getattr(reply.body, "sha256", "")
    return Entry(_file(protocol, resource, sha256), result, reply.cache)


def entry_of_bundled(protocol: PackageProxyBase, file: FileName, sha256: str) -> Entry | None:
    """Of a stored file that went out in a bundle; None for what is no serving of a file."""
    resource = protocol.grammar.artifact_resource(file)
    if not protocol.grammar.gives_file(resource):
        return None
    return Entry(_file(protocol, resource, sha256), SERVED, "HIT")


def entry_of_refusal(
    protocol: PackageProxyBase, resource: Resource | Redirect, error: OrchardError, cache: str
) -> Entry | None:
    """Of a GET that a rule refused; None for every other failure."""
    if isinstance(resource, Redirect) or not isinstance(error, Blocked):
        return None
    return Entry(_file(protocol, resource, resource.sha256), REFUSED, cache, error.code)


def _file(protocol: PackageProxyBase, resource: Resource, sha256: str) -> File:
    version = protocol.grammar.version_asked(resource)
    return File(protocol.name, resource.project, version, resource.filename, sha256)
