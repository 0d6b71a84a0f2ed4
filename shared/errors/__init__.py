"""The catalogue of errors: all that Orchard answers when it cannot serve a request.

One class per situation, each with a stable `code`, the HTTP status a client sees, whether a
retry may help, and a hint for the person reading it. docs/errors.md is generated from these.

Rule (ARCHITECTURE.md "What is refused"): every passing failure is 503 with Retry-After, the one status that
pip (old and new), npm and Maven all retry. What no retry cures is a status that no client retries
(`LastingError`). An upstream's failure is never a 404. What an upstream's answers mean:
shared/sources/answers.py. What passes: shared/errors/passing.py. By their codes: shared/errors/catalogue.py.
"""

from __future__ import annotations

from shared.errors.base import ErrorValue as ErrorValue
from shared.errors.base import OrchardError as OrchardError


class InternalError(OrchardError):
    """An unexpected failure; no other entry describes it."""


# --- what the client asked cannot be served as asked (no retry helps) -------------------------


class MalformedRequest(OrchardError):
    code = "malformed_request"
    status = 400
    hint = "Check URL and Host: dot segments, encoded slashes, control characters, bad UTF-8 are refused."


class ProxyLoop(OrchardError):
    code = "proxy_loop"
    status = 508
    hint = "Check ORCHARD_*_UPSTREAM, here and on the way."


class UnknownHost(OrchardError):
    code = "unknown_host"
    status = 421
    hint = "Call this Orchard by localhost or its address, or add the name to ORCHARD_ALLOWED_HOSTS."


class Forbidden(OrchardError):
    code = "forbidden"
    status = 403
    hint = "Send ORCHARD_ADMIN_TOKEN, or a token made by `orchard tokens create NAME --scope admin`."


class TooManyGuesses(OrchardError):
    code = "too_many_guesses"
    status = 429
    hint = "Wrong tokens came from this address; wait as Retry-After says, and correct the one that is sent."


class Unauthorized(OrchardError):
    code = "unauthorized"
    status = 401
    hint = "Reading here needs a token: Bearer, or Basic with any user name and the token as password."


class IdentityRefused(OrchardError):
    code = "identity_refused"
    status = 403
    hint = "docs/access.md says what is checked; operators see what is trusted by `orchard trust list`."


class Blocked(OrchardError):
    code = "blocked"
    status = 403
    hint = (
        "An operator has blocked it, here or at the upstream that is named; `orchard blocks list` says what."
    )


class TooYoung(Blocked):
    code = "too_young"
    hint = "`orchard why PURL` says which rule; `orchard exempt add PURL --reason …` lets it in at once."


class NotInView(Blocked):
    code = "not_in_view"
    status = 404
    hint = "It may be there without the view: the address without /v/…/."


class BuildNotFound(OrchardError):
    code = "build_not_found"
    status = 404
    hint = "`orchard build start` makes one; a session that nobody adds to ends after a week."


class BuildSealed(OrchardError):
    code = "build_sealed"
    status = 410
    hint = "Its list is being made; then it answers from that alone. Start another build to record."


class BuildFull(OrchardError):
    code = "build_full"
    status = 507
    hint = "Record less in one build: docs/builds.md, Bounds."


class Malware(Blocked):
    code = "malware"
    hint = (
        "An advisory calls it malware; `orchard why PURL` says which, `orchard who-has PURL` who has it. "
        "A package of your own that has the same name: `orchard exempt add PURL --reason … --yes`."
    )


class RefusedByPolicy(Blocked):
    code = "policy"
    hint = "`orchard why PURL` says which rule; `orchard exempt add PURL --reason …` lets it in at once."


class TrustDowngrade(Blocked):
    code = "trust_downgrade"
    hint = (
        "Its versions had provenance, and this one has none, a false one, or one of another repository; "
        "`orchard why PURL` says which. `orchard exempt add PURL --reason …` lets it in at once."
    )


class EntryNotFound(OrchardError):
    code = "entry_not_found"
    status = 404
    hint = "Name one that is listed."


class Conflict(OrchardError):
    code = "conflict"
    status = 409
    hint = "Change or remove what is there."


class ProjectNotFound(OrchardError):
    code = "project_not_found"
    status = 404
    hint = "Check its spelling: the upstreams that may be asked for it do not have it."


class FileNotFound(OrchardError):
    code = "file_not_found"
    status = 404
    hint = "Check the version and the file's name: the upstreams that may have this file do not have it."


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
    hint = "It is neither stored nor being computed here; ask for it by its artifact or requirements."


class NotResolvable(OrchardError):
    code = "not_resolvable"
    status = 422
    hint = "Dependencies of this protocol or kind of file are not resolved here."


class EnsureInvalid(OrchardError):
    code = "ensure_invalid"
    status = 422
    hint = "Ensure files, and the locks that are taken in their place, are described in docs/ensure.md."


class EnsureNotFound(OrchardError):
    code = "ensure_not_found"
    status = 404
    hint = "It is neither stored nor being computed here; post the ensure file itself."


class RouteNotFound(OrchardError):
    code = "route_not_found"
    status = 404
    hint = "The page at / lists what is served."


class MethodNotAllowed(OrchardError):
    code = "method_not_allowed"
    status = 405
    hint = "Use GET or HEAD: this address answers no other method."

    def __init__(self, message: str, *, allow: str = "GET, HEAD", retry_after_seconds: int = 0) -> None:
        """`allow`: the methods that the address takes (RFC 9110, 10.2.1)."""
        self.allow = allow
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.hint = f"Use {allow.replace(', ', ' or ')}: this address answers no other method."


class NotAcceptable(OrchardError):
    code = "not_acceptable"
    status = 406
    hint = "Ask for a type in which this page is served, or for any (Accept: */*)."


class RequestTooLarge(OrchardError):
    code = "request_too_large"
    status = 413
    hint = "Send less; docs/operations.md, Limits, has the bounds."


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
        "the upstream's certificate replaced; `orchard upstreams test NAME` tries it again."
    )


class SourceUnusable(LastingError):
    code = "source_unusable"
    hint = "The source's credentials cannot be opened: give ORCHARD_SECRET_KEY the key that sealed them."


class NoSource(LastingError):
    """Nobody may be asked for it: its only source is paused or gone, or it is pinned to such a one."""

    code = "no_source"
    hint = (
        "`orchard upstreams list` shows which are paused, `orchard upstreams resume NAME` has one asked "
        "again; `orchard pins remove` lets go of a source that is gone."
    )


class UpstreamInvalid(LastingError):
    code = "upstream_invalid"
    hint = "See what it answers (a login page, broken data): `orchard upstreams test NAME`."


class UpstreamStrayed(UpstreamInvalid):
    code = "upstream_strayed"
    hint = (
        "Another place answered for the upstream (a login page, another registry): renew its credentials, or "
        "let its pages come from elsewhere (`orchard upstreams options NAME pages=elsewhere`)."
    )


class UpstreamBlocked(LastingError):
    code = "upstream_blocked"
    hint = "docs/operations.md, Egress, says which addresses are contacted and how one is allowed."


class DigestMismatch(LastingError):
    code = "digest_mismatch"
    hint = (
        "Nothing was stored. Where a checksum beside the file is wrong and not the file, `orchard upstreams "
        "options NAME checksums=warn` accepts it."
    )


class TooLarge(LastingError):
    code = "too_large"
    hint = "ORCHARD_MAX_ARTIFACT_BYTES and ORCHARD_MAX_INDEX_BYTES are the bounds."


class Offline(LastingError):
    code = "offline"
    hint = "Have it cached while upstreams are asked, by an install or `orchard ensure`."


class InvalidData(OrchardError):
    """A value that must not enter SQL or a key (NUL, lone surrogates, over-long names)."""

    code = "invalid_data"
    status = 400
    hint = "Use names of usual length, without NUL and lone surrogates."


class ConfigurationError(OrchardError):
    """A setting that stops the start. One line, naming the variable."""

    code = "configuration_error"
    hint = "docs/settings.md has all settings."
