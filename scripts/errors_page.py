"""Prints docs/errors.md from the error catalogue and the table of upstream answers, so that page and code
cannot differ."""

from __future__ import annotations

import sys

from shared.errors import OrchardError
from shared.errors.catalogue import CATALOGUE
from shared.sources.answers import RULES, Meaning

HEAD = """\
# Errors

Every error answer is a problem document (RFC 9457, `application/problem+json`) with `code`, `detail`,
`hint` and `request_id`; for npm's clients the same words stand in `error`.

* **What a retry may cure is 503 with `Retry-After`**: the one status that pip (old and new), uv, npm and
  Maven all retry.
* **What no retry cures is a status that no client retries**: 424 for a page or another document, 403 for a
  file. It says in the upstream's own words what it decided, where it used any. Nothing is remembered of it:
  as soon as the cause is gone, the next request works. A page that is kept is served `STALE` instead, as in
  any trouble.
* **404 means that it is not there**, said by the upstream (404, 410, or what the operator lets mean that).
  An upstream's trouble is never a 404, and never a 401: clients would ask their user for a password.

Why 424 and 403, as measured ([decision 24](decisions/0024-what-no-retry-cures.md)): npm, pnpm, yarn, uv
and newer pip try any 5xx again. For a page uv hides the words of a 403 (it takes it for wrong
credentials) and shows those of a 424. For a file pnpm tries everything again but 401, 403 and 404. pip
shows of a page only "No matching distribution found", and of a file the status with its standard
phrase; Orchard's log tells more. npm prints the words always, yarn 1 and uv those of a page, Maven 3.9
and 4 those of a file.

What a hint names as `docs/…` each Orchard shows at `/ui/docs/…`.

This page is generated: `python -m scripts.errors_page > docs/errors.md`.

## What an upstream's answer becomes

| upstream says | means | page | file | because |
|---|---|---|---|---|
"""

LIFTING = """
No connection, no name, a reset and a time-out are 503 (`upstream_unavailable`, `upstream_timeout`); a
certificate that is not believed is `upstream_untrusted`, for it stays so.

### Refusals that an operator can lift

| refusal | how |
|---|---|
"""

LIFTED = {
    '`upstream_refused`, its status meaning "not here"': "`orchard upstreams options NAME absent=403` "
    "(or `#absent=403` at its address): then it is a 404, and the next source is asked",
    "`upstream_refused` for want of credentials": "`orchard upstreams credentials NAME`",
    "`upstream_strayed`": "the same, or `orchard upstreams options NAME pages=elsewhere`",
    "`upstream_untrusted`": "`ORCHARD_CA_FILE`",
    "`upstream_blocked`": "the source's allowed hosts (docs/operations.md, egress)",
    "`digest_mismatch` with a checksum published beside a file": "`orchard upstreams options NAME "
    "checksums=warn` (or `ignore`; or `#checksums=warn` at its address)",
    "`too_large`": "`ORCHARD_MAX_ARTIFACT_BYTES`, `ORCHARD_MAX_INDEX_BYTES`",
    "`source_unusable`": "`ORCHARD_SECRET_KEY`, or new credentials",
    "`no_source`": "`orchard upstreams resume NAME`, `orchard pins remove`",
    "`blocked`": "`orchard blocks remove`",
    "`offline`": "`ORCHARD_OFFLINE`",
}

CODES = """
## All codes

A second status is that for a file.

| code | status | retry helps | what to do |
|---|---|---|---|
"""


def _shown_as(means: Meaning, kind: str) -> str:
    if isinstance(means, str):
        return {"absent": "404", "found": "200"}.get(means, "–")
    return f"{means('').status_of(kind)}"


def _status(error: type[OrchardError]) -> str:
    return f"{error.status}, {error.file_status}" if error.file_status else f"{error.status}"


def main() -> None:
    """Write the page to standard output."""
    answers = []
    for rule in RULES:
        statuses = f"{rule.first}" if rule.first == rule.last else f"{rule.first}–{rule.last}"
        means = rule.means if isinstance(rule.means, str) else f"`{rule.means.code}`"
        if rule.last - rule.first > 2:
            statuses += " else"
        page, file = _shown_as(rule.means, "index"), _shown_as(rule.means, "artifact")
        answers.append(f"| {statuses} | {means} | {page} | {file} | {rule.because} |")
    rows = [
        f"| `{code}` | {_status(error)} | {'yes' if error.retryable else 'no'} | {error.hint} |"
        for code, error in sorted(CATALOGUE.items())
    ]
    lifted = [f"| {refusal} | {how} |" for refusal, how in LIFTED.items()]
    parts = [HEAD, *(f"{row}\n" for row in answers), LIFTING, *(f"{row}\n" for row in lifted)]
    sys.stdout.write("".join([*parts, CODES, *(f"{row}\n" for row in rows)]))


if __name__ == "__main__":
    main()
