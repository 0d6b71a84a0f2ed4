"""The locks of Python's clients, read as pins: uv, pylock.toml (PEP 751), poetry, pdm, pip with hashes."""
