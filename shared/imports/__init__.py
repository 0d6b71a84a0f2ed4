"""Imported files as rows, and the sources that serve them (docs/decisions/0058)."""
