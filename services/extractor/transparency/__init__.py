"""Writes the transparency log (docs/transparency.md)."""
