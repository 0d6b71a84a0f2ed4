"""The catalogue of everything Orchard says when it cannot serve a request.

One class per situation, each with a stable `code`, the HTTP status a client sees, whether a
retry may help, and a hint for the person reading it. docs/errors.md is generated from here.

Rule (ARCHITECTURE.md): every passing failure is 503 with Retry-After, the one status that pip (old
and new), npm and Maven all retry. What no retry cures is a status that no client retries (`LastingError`).
An upstream's failure is never a 404. What an upstream's answers mean: shared/answers.py. By their codes:
shared/error_catalogue.py.
"""

from __future__ import annotations

from shared.error_base import ErrorValue as ErrorValue
from shared.error_base import OrchardError as OrchardError


class InternalError(OrchardError):
    """Something happened that no other entry describes."""


# --- what the client asked cannot be served as asked (no retry helps) -------------------------


class MalformedRequest(OrchardError):
    code = "malformed_request"
    status = 400
    hint = (
        "Check the URL, and Host: dot segments, encoded slashes, control characters, bad UTF-8 are refused."
    )


class ProxyLoop(OrchardError):
    code = "proxy_loop"
    status = 508
    hint = "An upstream leads back to this Orchard: check ORCHARD_*_UPSTREAM, here and on the way."


class UnknownHost(OrchardError):
    code = "unknown_host"
    status = 421
    hint = "Call this Orchard by localhost or its address, or add the name to ORCHARD_ALLOWED_HOSTS."


class Forbidden(OrchardError):
    code = "forbidden"
    status = 403
    hint = "This needs a token with the right role."


class TooManyGuesses(OrchardError):
    code = "too_many_guesses"
    status = 429
    hint = "Wrong tokens came from this address; wait as told, and correct the one that is sent."


class Unauthorized(OrchardError):
    code = "unauthorized"
    status = 401
    hint = "Reading here needs a token: Bearer, or Basic with any user name and the token as password."


class Blocked(OrchardError):
    code = "blocked"
    status = 403
    hint = "An operator of this Orchard has blocked it; GET /api/v1/admin/blocks lists what is blocked."


class EntryNotFound(OrchardError):
    code = "entry_not_found"
    status = 404
    hint = "`orchard upstreams list` shows what there is; so for pins, blocks, tokens; and `orchard events`."


class Conflict(OrchardError):
    code = "conflict"
    status = 409
    hint = "Change or remove what is there, or take another name."


class ProjectNotFound(OrchardError):
    code = "project_not_found"
    status = 404
    hint = "Check its spelling; an upstream that is paused is not asked."


class FileNotFound(OrchardError):
    code = "file_not_found"
    status = 404
    hint = "Check the version and the file's name: who may have this file was asked, and has none."


class ArtifactNotFound(OrchardError):
    code = "artifact_not_found"
    status = 404
    hint = "No file with this SHA256 was ever served here; ask for the file once, then again."


class PackageNotFound(OrchardError):
    code = "package_not_found"
    status = 404
    hint = "Nothing of this package was ever served here; the protocol's own pages ask the upstream."


class InvalidParameter(OrchardError):
    code = "invalid_parameter"
    status = 400
    hint = "The parameters and their bounds are described at /api/v1/openapi."


class ResolutionConflict(OrchardError):
    code = "resolution_conflict"
    status = 422
    hint = "No set of versions satisfies all of these; loosen or drop one of the requirements named."


class ResolutionTooLarge(OrchardError):
    code = "resolution_too_large"
    status = 422
    hint = "The graph is wider, deeper or more entangled than is resolved here; ask for parts of it."


class ResolutionNotFound(OrchardError):
    code = "resolution_not_found"
    status = 404
    hint = "It is neither kept nor in the making here; ask for it by its artifact or requirements."


class NotResolvable(OrchardError):
    code = "not_resolvable"
    status = 422
    hint = "Dependencies of this protocol or kind of file are not resolved here."


class EnsureInvalid(OrchardError):
    code = "ensure_invalid"
    status = 422
    hint = "The tables and keys of an ensure file are described in docs/ensure.md."


class EnsureNotFound(OrchardError):
    code = "ensure_not_found"
    status = 404
    hint = "It is neither kept nor in the making here; post the ensure file itself."


class RouteNotFound(OrchardError):
    code = "route_not_found"
    status = 404
    hint = "The page at / lists what is served."


class MethodNotAllowed(OrchardError):
    code = "method_not_allowed"
    status = 405
    hint = "Orchard is read-only here: use GET or HEAD."


class NotAcceptable(OrchardError):
    code = "not_acceptable"
    status = 406
    hint = "Ask for application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html or text/html."


class RequestTooLarge(OrchardError):
    code = "request_too_large"
    status = 413
    hint = "The request's body is larger than anything that is asked at this address."


class RequestTooSlow(OrchardError):
    code = "request_too_slow"
    status = 408
    hint = "Send the body at once and without pauses; see ORCHARD_BODY_TIMEOUT."


class UriTooLong(OrchardError):
    code = "uri_too_long"
    status = 414
    hint = "The address is longer than any package name or file name can be."


class RangeNotSatisfiable(OrchardError):
    code = "range_not_satisfiable"
    status = 416
    hint = "The range starts past the end of the file."


# --- lasting trouble with an upstream: somebody has to do something ------------------------------


class LastingError(OrchardError):
    """Base of what the upstream refuses, and of what Orchard refuses to take from it.

    No client's retry cures it, and nothing is remembered of it: the next request asks again. It says nothing
    about whether the thing exists. docs/errors.md tells why 424 and 403.
    """

    code = "refused"
    status = 424
    file_status = 403
    hint = "Nothing will change by itself: see the message."


class UpstreamRefused(LastingError):
    code = "upstream_refused"
    hint = (
        "The upstream decided so. `orchard upstreams credentials NAME` gives it other credentials; if this "
        "status of it only means that it has no such thing: `orchard upstreams options NAME absent=STATUS`."
    )


class UpstreamUntrusted(UpstreamRefused):
    """TLS with a host fails, and will again: its certificate is not believed, or it speaks no TLS."""

    code = "upstream_untrusted"
    hint = (
        "Give ORCHARD_CA_FILE a PEM file with the authority that signed the upstream's certificate, or have "
        "the upstream's certificate mended; `orchard upstreams test NAME` tries it again."
    )


class SourceUnusable(LastingError):
    code = "source_unusable"
    hint = "The source's credentials cannot be opened: give ORCHARD_SECRET_KEY the key that sealed them."


class UpstreamInvalid(LastingError):
    code = "upstream_invalid"
    hint = "The upstream sent something that is not what was asked for (a login page, broken data)."


class UpstreamStrayed(UpstreamInvalid):
    code = "upstream_strayed"
    hint = (
        "Another place answered for the upstream (a login page, another registry): renew its credentials, or "
        "let its pages come from elsewhere (`orchard upstreams options NAME pages=elsewhere`)."
    )


class UpstreamBlocked(LastingError):
    code = "upstream_blocked"
    hint = "The upstream pointed to an address that Orchard may not contact (see docs/operations.md, egress)."


class DigestMismatch(LastingError):
    code = "digest_mismatch"
    hint = (
        "The upstream's bytes do not match what is said of them; nothing was kept. For a checksum published "
        "beside a Maven file, `orchard upstreams options NAME checksums=warn` takes them."
    )


class TooLarge(LastingError):
    code = "too_large"
    hint = "The upstream sent more than allowed; see ORCHARD_MAX_ARTIFACT_BYTES, ORCHARD_MAX_INDEX_BYTES."


class Offline(LastingError):
    code = "offline"
    hint = "Have it cached while upstreams are asked, by an install or `orchard ensure`."


# --- passing trouble: 503 + Retry-After --------------------------------------------------------


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
    hint = "The upstream did not answer in time; see ORCHARD_HTTP_CONNECT_TIMEOUT and _READ_TIMEOUT."


class UpstreamRateLimited(PassingError):
    code = "upstream_rate_limited"
    hint = "The upstream asked us to slow down; Orchard asks again when it said."


class CacheUnavailable(PassingError):
    code = "cache_unavailable"
    hint = "The cache Redis does not answer (ORCHARD_REDIS_HOST)."


class QueueUnavailable(PassingError):
    code = "queue_unavailable"
    hint = "The queue Redis does not answer (ORCHARD_QUEUE_REDIS_HOST)."


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
    hint = "PostgreSQL does not answer (ORCHARD_DATABASE_URL)."


class StoreUnavailable(PassingError):
    code = "store_unavailable"
    hint = "The object store does not answer or is full."


class ObjectMissing(StoreUnavailable):
    """The store works, but has no such object: a row without its object, repaired by a refetch."""

    code = "object_missing"
    hint = "The object store lost a file; it is fetched again."


class EnsureIncomplete(PassingError):
    code = "ensure_incomplete"
    default_retry_after_seconds = 5
    hint = "Something was missing for a passing cause: post the ensure file again."


class AccessUnknown(PassingError):
    code = "access_unknown"
    hint = "No list of tokens could be read yet: neither PostgreSQL nor the queue Redis has told it."


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


class InvalidData(OrchardError):
    """A value that must not enter SQL or a key (NUL, lone surrogates, over-long names)."""

    code = "invalid_data"
    status = 400
    hint = "The data holds characters that cannot be stored."


class ConfigurationError(OrchardError):
    """A setting that stops the start. One line, naming the variable."""

    code = "configuration_error"
    hint = "See the README's table of settings."
