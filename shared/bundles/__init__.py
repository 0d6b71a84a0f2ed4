"""Bundles: builds and locks as one file, with all that they are made of (docs/decisions/0049)."""
