"""The database's schema as numbered SQL files, and `python -m shared.migrations` that applies them."""
