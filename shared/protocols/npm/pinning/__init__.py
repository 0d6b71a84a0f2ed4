"""The locks of npm's clients, read as pins: package-lock.json, pnpm-lock.yaml, yarn.lock."""
