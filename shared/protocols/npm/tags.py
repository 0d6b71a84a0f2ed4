"""The tags of a package of which some versions are not shown: blocked, or impossible to serve."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from shared.protocols.npm.semver import Version, parse_version


def shown_tags(
    declared: Any, hidden: Collection[str], shown: Iterable[str], is_deprecated: Callable[[str], bool]
) -> dict[str, str]:
    """`dist-tags` without those of hidden versions; `latest`, which an install without a version asks for,
    moves down.

    `declared` is the upstream's value, of whatever type; `shown` are the versions that are shown. npm's rule
    for a `latest` that may not be taken is the newest version not above it (npm-pick-manifest, `before`): no
    unreleased major comes in its place, and none that is deprecated where another is there. Where there is
    none, the tag goes.
    """
    tags = declared if isinstance(declared, dict) else {}
    left = {
        tag: version for tag, version in tags.items() if isinstance(version, str) and version not in hidden
    }
    latest = tags.get("latest")
    if isinstance(latest, str) and "latest" not in left:
        below = _newest_not_above(parse_version(latest), shown, is_deprecated)
        if below:
            left["latest"] = below
    return left


def _newest_not_above(
    most: Version | None, shown: Iterable[str], is_deprecated: Callable[[str], bool]
) -> str:
    parsed = [(each, version) for version in shown if (each := parse_version(version))]
    if most is not None:
        parsed = [pair for pair in parsed if pair[0].key <= most.key]
    # Of prereleases a range takes those of its own version alone, and these only if it names one.
    own = most.release if most is not None and most.prerelease else None
    parsed = [pair for pair in parsed if not pair[0].prerelease or pair[0].release == own] or parsed
    parsed.sort(key=lambda pair: pair[0].key, reverse=True)
    newest = (version for _, version in parsed if not is_deprecated(version))
    return next(newest, parsed[0][1] if parsed else "")
