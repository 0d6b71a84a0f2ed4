"""`serve_forward`: requests that are never cached, forwarded to an upstream; and the answer without one.

Pure policy: all I/O goes through `ports`. "Nothing found" is a statement about safety: where nobody audited,
nobody may say it, unless the operator wants it so (ORCHARD_AUDIT_UNANSWERED).
"""

from __future__ import annotations

from services.gateway.serving.ports import CacheWord, ForwardRequest, Ports, Reply
from shared.errors import LastingError, Offline, OrchardError, RouteNotFound, UpstreamInvalid
from shared.errors.passing import PassingError
from shared.protocols.resource import Resource
from shared.sources.answers import ABOUT_THE_REQUEST, NOT_OFFERED, meaning


async def serve_forward(
    resource: Resource, request: ForwardRequest, ports: Ports, *, head: bool = False
) -> Reply:
    """The upstream's answer, or the resource's own where it has one.

    Raises `RouteNotFound` for what the upstream does not offer and a `PassingError` or `LastingError` for
    its trouble; with ORCHARD_AUDIT_UNANSWERED=pass the resource's own answer stands for both, where it
    has one.
    """
    if not resource.forward_path:
        return _reply(200, "HIT", "application/json", resource.forward_fallback, head=head)
    fallback = resource.forward_fallback if ports.settings.audit_unanswered == "pass" else b""
    error: OrchardError
    try:
        nobody_answers = ports.settings.offline and not ports.settings.osv_feeds  # by which fetchers audit
        if nobody_answers or ports.forward is None:
            raise Offline("ORCHARD_OFFLINE is set and this is never cached")
        answer = await ports.forward.send(resource.protocol, request)
        if answer.status == 200 or answer.status in ABOUT_THE_REQUEST:
            return _reply(answer.status, "MISS", answer.content_type, answer.body, head=head)
        if answer.status in NOT_OFFERED and not fallback:
            raise RouteNotFound("the upstream does not offer this", hint=_unanswered(resource))
        means = meaning(answer.status)
        error = (UpstreamInvalid if isinstance(means, str) else means)(
            f"the upstream answered {answer.status}"
        )
    except (LastingError, PassingError) as failure:
        error = failure
    if not fallback:
        raise error
    return _reply(200, "STALE", "application/json", fallback, head=head)


def _unanswered(resource: Resource) -> str:
    if not resource.forward_fallback:
        return "Nobody else is asked: another upstream may offer it."
    return "ORCHARD_AUDIT_UNANSWERED=pass has such a request answered as if nothing was found."


def _reply(status: int, word: CacheWord, content_type: str, body: bytes, *, head: bool) -> Reply:
    headers = [
        (b"content-type", content_type.encode("latin-1", "replace")),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return Reply(status, word, headers, body=None if head else body)
