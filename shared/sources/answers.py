"""The meaning of upstreams' answers: one table from status or failure to an entry of the error catalogue.

The statuses that clients then see (docs/errors.md) follow from what they do with them, as measured with pip
23.2 and 26, uv, npm 10 and 11, pnpm 10, yarn 1 and 4, Maven 3.9 and 4 (docs/decisions/0024): each retries
503, and most of them every other 5xx. So only what a retry may cure is a 5xx, and what needs a person is
424 for a page and 403 for a file: uv shows our words for a page but for 401 and 403, which it takes for
wrong credentials of its own, and pnpm tries a tarball again but for 401, 403 and 404. Never 401: a client
would ask its user for a password.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.errors import OrchardError, UpstreamInvalid, UpstreamRefused
from shared.errors.passing import UpstreamRateLimited, UpstreamUnavailable

Meaning = Literal["found", "unchanged", "absent", "range"] | type[OrchardError]


class Rule(msgspec.Struct, frozen=True):
    """The meaning of a range of statuses of an upstream: `first` to `last`, both included."""

    first: int
    last: int
    means: Meaning
    because: str


# The first that matches counts. RFC 9110 §15, RFC 6585, RFC 7725, RFC 8470.
RULES: tuple[Rule, ...] = (
    Rule(202, 202, UpstreamUnavailable, "accepted: not ready yet"),
    Rule(204, 205, UpstreamInvalid, "a success without a document"),
    Rule(206, 206, "range", "of a file that was asked for by a range, else invalid"),
    Rule(200, 299, "found", "its body is still judged: a login page is no package"),
    Rule(304, 304, "unchanged", "of a page that was asked for conditionally, else invalid"),
    Rule(300, 399, UpstreamInvalid, "a redirect that leads nowhere, or too many of them"),
    Rule(404, 404, "absent", "and only this, 410 and what the operator says (`absent`)"),
    Rule(410, 410, "absent", "gone"),
    Rule(408, 408, UpstreamUnavailable, "the upstream had no patience"),
    Rule(416, 416, "range", "of a file that was asked for by a range, else invalid"),
    Rule(420, 420, UpstreamRateLimited, "an unregistered spelling of 429, which some clients know too"),
    Rule(421, 421, UpstreamUnavailable, "another connection may lead to the right server"),
    Rule(425, 425, UpstreamUnavailable, "too early"),
    Rule(429, 429, UpstreamRateLimited, "too many requests"),
    Rule(499, 499, UpstreamUnavailable, "a proxy of the upstream gave up"),
    Rule(400, 499, UpstreamRefused, "a decision: credentials, payment, policy, law, or a teapot"),
    Rule(501, 501, UpstreamRefused, "it does not do this, today or in a minute"),
    Rule(505, 506, UpstreamRefused, "the same"),
    Rule(508, 508, UpstreamRefused, "the upstream's own upstreams go round in a circle"),
    Rule(510, 511, UpstreamRefused, "a network that wants somebody to sign in"),
    Rule(500, 599, UpstreamUnavailable, "trouble"),
)
UNKNOWN = UpstreamInvalid  # a number that is no HTTP status

# Of a request that is passed on: statuses that refuse nobody.
NOT_OFFERED = frozenset((404, 405, 410, 501))  # a client sees 404
ABOUT_THE_REQUEST = frozenset((400, 413, 422))  # a client sees them as they are


def meaning(status: int) -> Meaning:
    """What a status means."""
    return next((rule.means for rule in RULES if rule.first <= status <= rule.last), UNKNOWN)


class UpstreamTest(msgspec.Struct, frozen=True):
    """The result of a test request to a source."""

    ok: bool
    status: int  # HTTP status; 0 when there was no answer
    seconds: float
    detail: str
