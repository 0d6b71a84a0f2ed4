"""The kinds of events for operators; docs/operations.md says what to do about each.

The standard library alone: the `orchard` command lists them too.
"""

from __future__ import annotations

from typing import Literal, get_args

EventKind = Literal[
    "upstream_mutated",
    "digest_mismatch",
    "metadata_differs",
    "ranges_contradict",
    "checksum_differs",
    "file_without_checksum",
    "blocked_file_refused",
    "object_decayed",
    "source_shadowed",
    "empty_index",
    "upstream_strayed",
    "served_by_several",
    "servings_dropped",
    "feed_refused",
    "malware_stored",
    "advisory_about_served",
    "rule_warned",
    "rules_weakened",
    "webhook_paused",
]

WARNED: EventKind = "rule_warned"
"""There may be many of these; lists for people have them where they are asked for alone."""

EVENT_KINDS: tuple[str, ...] = get_args(EventKind)
