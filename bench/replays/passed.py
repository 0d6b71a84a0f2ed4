"""What a client writes down of its own run: of that, not of what arrived, and so not compared."""

from __future__ import annotations

from fnmatch import fnmatch

PASSED: tuple[tuple[str, str], ...] = (
    ("caches/npm/_cacache/index-v5/*", "when an answer came, and the number of its request"),
    ("caches/uv/wheels-v*", "the random name of the folder where uv has unpacked a wheel, and when it came"),
    ("caches/uv/simple-v*", "each page as it has read it, with the time of the answer and a random number"),
    ("caches/poetry/cache/repositories/*", "each answer with the time until which it is kept"),
    ("*/.cache/pnpm/metadata-*", "each packument with the time when it came"),
    ("caches/pnpm/*/index/*", "when it looked at each file"),
    ("project/node_modules/.modules.yaml", "when pnpm removed what was left over"),
    ("project/node_modules/.pnpm-workspace-state-*", "when it looked at the project"),
    ("project/.yarn/install-state.gz", "its own state, in the order in which answers came"),
    ("*/pip-[0-9]*.dist-info/RECORD", "virtualenv's list of the pip that it brings itself"),
    ("caches/.gradle/caches/[0-9]*", "build scripts that it has compiled, with the time"),
    ("caches/.gradle/caches/modules-2/metadata-*", "when it asked for each file"),
    ("caches/.gradle/*.lock", "which process was at work"),
    ("project/.gradle/*", "which tasks it ran, and when"),
    ("caches/.cargo/.global-cache", "when it used each file last"),
    ("caches/npm/_logs/*", "its log"),
)
"""Patterns of paths, and what makes them another each time."""


def counts(path: str) -> bool:
    """Whether a file is compared."""
    return not any(fnmatch(path, pattern) for pattern, _ in PASSED)
