"""The types of events that webhooks get (CloudEvents 1.0, `type`), and patterns of them. docs/webhooks.md
says what each tells.
"""

from __future__ import annotations

from shared.artifacts.event_kinds import EVENT_KINDS

TEST = "orchard.webhook.test"

OF_EVENTS = tuple(f"orchard.event.{kind}" for kind in EVENT_KINDS)
TYPES: tuple[str, ...] = (
    *OF_EVENTS,
    "orchard.block.made",
    "orchard.block.lifted",
    "orchard.exemption.made",
    "orchard.exemption.ended",
    "orchard.quarantine.begun",
    "orchard.quarantine.ended",
    "orchard.version.held",
    "orchard.upstream.failing",
    "orchard.upstream.recovered",
    "orchard.job.dead",
)
"""All but `TEST`, which only its own command sends."""


def is_wanted(pattern: str, told: str) -> bool:
    """Whether a pattern means a type: the whole of it, or what begins as it does up to a `*` at its end. As
    `tell_webhooks` of shared/migrations reads it."""
    return told.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == told
