"""`serve_forward`: what is neither cached nor stored, passed on to an upstream; and what is said without one.

Pure policy: all I/O goes through `ports`. "Nothing found" is a statement about safety: where nobody audited,
nobody may say it, unless the operator wants it so (ORCHARD_AUDIT_UNANSWERED).
"""

from __future__ import annotations

from shared.answers import meaning
from shared.errors import LastingError, Offline, OrchardError, PassingError, RouteNotFound, UpstreamInvalid
from shared.protocols.ports import CacheWord, ForwardRequest, Ports, Reply
from shared.protocols.resource import Resource

_NOT_OFFERED = (404, 405, 410, 501)
_ABOUT_THE_REQUEST = (400, 413, 422)
NO_REFUSAL = frozenset({*_NOT_OFFERED, *_ABOUT_THE_REQUEST})
"""Statuses that refuse nobody: a client sees them as they are, or as 404."""


async def serve_forward(
    resource: Resource, request: ForwardRequest, ports: Ports, *, head: bool = False
) -> Reply:
    """The upstream's answer, or for what is answered here the resource's own.

    Raises `RouteNotFound` for what the upstream does not offer and a `PassingError` or `LastingError` for
    its trouble; with ORCHARD_AUDIT_UNANSWERED=pass the resource's own answer stands for both, where it
    has one.
    """
    if not resource.forward_path:
        return _reply(200, "HIT", "application/json", resource.forward_fallback, head=head)
    fallback = resource.forward_fallback if ports.settings.audit_unanswered == "pass" else b""
    error: OrchardError
    try:
        if ports.settings.offline or ports.forward is None:
            raise Offline("ORCHARD_OFFLINE is set and this is never cached")
        answer = await ports.forward.send(resource.protocol, request)
        if answer.status == 200 or answer.status in _ABOUT_THE_REQUEST:
            return _reply(answer.status, "MISS", answer.content_type, answer.body, head=head)
        if answer.status in _NOT_OFFERED and not fallback:
            raise RouteNotFound("the upstream does not offer this")
        means = meaning(answer.status)
        error = (UpstreamInvalid if isinstance(means, str) else means)(
            f"the upstream answered {answer.status}"
        )
    except (LastingError, PassingError) as failure:
        error = failure
    if not fallback:
        raise error
    return _reply(200, "STALE", "application/json", fallback, head=head)


def _reply(status: int, word: CacheWord, content_type: str, body: bytes, *, head: bool) -> Reply:
    headers = [
        (b"content-type", content_type.encode("latin-1", "replace")),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return Reply(status, word, headers, body=None if head else body)
