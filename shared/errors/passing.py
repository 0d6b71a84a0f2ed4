"""Passing trouble: 503 with Retry-After. The one status that pip (old and new), npm and Maven all retry."""

from __future__ import annotations

from shared.errors.base import OrchardError


class PassingError(OrchardError):
    """Base of what a retry may cure."""

    code = "unavailable"
    status = 503
    retryable = True
    default_retry_after_seconds = 2
    hint = "Try again in a moment."


class UpstreamUnavailable(PassingError):
    code = "upstream_unavailable"
    hint = "Try again; `orchard upstreams test NAME` says how that upstream answers now."


class UpstreamTimeout(PassingError):
    code = "upstream_timeout"
    hint = "Try again; ORCHARD_HTTP_CONNECT_TIMEOUT and _READ_TIMEOUT say how long an upstream may take."


class UpstreamRateLimited(PassingError):
    code = "upstream_rate_limited"
    hint = "Orchard asks again when the upstream said; until then try again."


class CacheUnavailable(PassingError):
    code = "cache_unavailable"
    hint = "Try again; if it stays so, see that ORCHARD_REDIS_HOST can be reached."


class QueueUnavailable(PassingError):
    code = "queue_unavailable"
    hint = "Try again; if it stays so, see that ORCHARD_QUEUE_REDIS_HOST can be reached."


class QueueFull(PassingError):
    code = "queue_full"
    hint = "Too much work is waiting: add fetchers or raise ORCHARD_QUEUE_LIMIT."


class Overloaded(PassingError):
    code = "overloaded"
    default_retry_after_seconds = 5
    hint = "Other requests have to end first; docs/operations.md, Limits, says what bounds this."


class BudgetSpent(PassingError):
    code = "client_budget"
    default_retry_after_seconds = 30
    hint = (
        "Use a token for each machine, or have ORCHARD_CLIENT_MISSES, _COLD_BYTES or _STARTS raised; "
        "what is stored here is not counted."
    )


class TooManyListeners(PassingError):
    code = "too_many_listeners"
    default_retry_after_seconds = 10
    hint = "Close some of the pages that watch the queues, or ask GET /api/v1/queues instead."


class DatabaseUnavailable(PassingError):
    code = "database_unavailable"
    hint = "Try again; if it stays so, see that ORCHARD_DATABASE_URL can be reached."


class StoreUnavailable(PassingError):
    code = "store_unavailable"
    hint = "Try again; if it stays so, see that the store can be reached and has space left."


class ObjectMissing(StoreUnavailable):
    """The store works, but has no such object: a row without its object, repaired by a refetch."""

    code = "object_missing"
    hint = "Try again: it is fetched anew."


class EnsureIncomplete(PassingError):
    code = "ensure_incomplete"
    default_retry_after_seconds = 5
    hint = "Post the ensure file again."


class AccessUnknown(PassingError):
    code = "access_unknown"
    hint = "No list of tokens could be read yet: neither PostgreSQL nor the queue Redis answered."


class IssuerUnavailable(PassingError):
    code = "issuer_unavailable"
    hint = "Who signs people or CI jobs in cannot be asked now. Tokens and sessions that there are go on."


class AdvisoriesUnknown(PassingError):
    code = "advisories_unknown"
    hint = (
        "No feed of ORCHARD_OSV_FEEDS was read yet; `orchard feeds list` says why. Nothing is served before."
    )


class DeadlineExceeded(PassingError):
    code = "deadline_exceeded"
    hint = "The work goes on in the background; the next try will likely find it done."


class ShuttingDown(PassingError):
    code = "shutting_down"
    default_retry_after_seconds = 1
    hint = "This process is stopping; another one will answer."


class SupersededError(PassingError):
    """A late writer found a newer generation in place: its result is dropped."""

    code = "superseded"
    hint = "Another worker took the job over; its result stands."
