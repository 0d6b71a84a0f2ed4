"""Orchard's own `Via` header: sent with every upstream request, refused when it comes back in.

RFC 9110 §7.6.3: a proxy names itself in Via, and finds a request loop by its own name. All services
of one installation share a name (fetchers send it, gateways look for it), so it is derived from what
they share rather than drawn at random by each process.
"""

from __future__ import annotations

import hashlib

from shared.settings import Settings

PROTOCOL_VERSION = "1.1"


def pseudonym(shared_secret_or_address: str) -> str:
    """The name of one installation: `orchard-` and 12 hex digits of a hash of what its services share.

    Pass the address of the queue Redis, which every service of an installation has.
    """
    return "orchard-" + hashlib.sha256(shared_secret_or_address.encode()).hexdigest()[:12]


def installation(settings: Settings) -> str:
    """The pseudonym of the installation that these settings describe."""
    if settings.queue_redis_sentinels:  # their order and number may differ from service to service
        return pseudonym(
            f"{settings.queue_redis_sentinel_master}@{min(settings.queue_redis_sentinels)}/"
            f"{settings.queue_redis_db}"
        )
    host = settings.queue_redis_host or "127.0.0.1"
    return pseudonym(f"{host}:{settings.queue_redis_port}/{settings.queue_redis_db}")


def via_value(name: str) -> str:
    """The header's value: "1.1 orchard-…"."""
    return f"{PROTOCOL_VERSION} {name}"


def is_own(header: str, name: str) -> bool:
    """Whether a received Via header shows that the request passed through this installation."""
    return any(part.split()[1:2] == [name] for part in header.split(",") if part.strip())
