"""Delivers events to webhooks (docs/decisions/0053)."""
