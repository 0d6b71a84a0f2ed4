"""Which upstreams may be asked for a project, and in which order. Pure; the guard against
dependency confusion (ARCHITECTURE.md "Sources").

Rules, the first that applies decides:
1. A name that matches an include pattern is bound: only the sources whose patterns match it may be
   asked, whether they are enabled or not. Disabling the private source must not send its names out.
2. A source with include patterns is asked for nothing else; one whose exclude pattern matches is
   not asked.
3. A project that was served once is pinned: of what is left only that source may be asked. If it is
   gone, none is.
4. The rest is asked in order of priority, then of age.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from functools import lru_cache

from shared.models import UpstreamSource


def candidates(
    sources: Iterable[UpstreamSource], project: str, pinned_source_id: int | None = None
) -> list[UpstreamSource]:
    """The sources to ask, in order; empty if none may be (`why_none` says why).

    `project` is normalised; "" (the list of all projects) knows neither patterns nor pins.
    """
    left = _allowed(list(sources), project)
    if project and pinned_source_id is not None:
        left = [source for source in left if source.id == pinned_source_id]
    return sorted(
        (source for source in left if source.enabled), key=lambda source: (source.priority, source.id)
    )


def why_none(sources: Iterable[UpstreamSource], project: str, pinned_source_id: int | None = None) -> str:
    """One line for a person: why `candidates` is empty. Names sources, never addresses."""
    known = list(sources)
    if not any(source.enabled for source in known):
        return "no upstream source is enabled"
    left = _allowed(known, project)
    if not left:
        return f"every source excludes {project}"
    names = ", ".join(sorted(source.name for source in left))
    if pinned_source_id is not None and all(source.id != pinned_source_id for source in left):
        pinned = [source.name for source in known if source.id == pinned_source_id]
        where = f"source {pinned[0]}" if pinned else "a source that is gone"
        return f"{project} is pinned to {where}, which may not be asked for it: unpin it"
    return f"{project} may only be asked at {names}, which is disabled"


def _allowed(sources: Sequence[UpstreamSource], project: str) -> list[UpstreamSource]:
    if not project:
        return list(sources)
    bound = [source for source in sources if _matches(source, source.include, project)]
    left = bound or [source for source in sources if not source.include]
    return [source for source in left if not _matches(source, source.exclude, project)]


def _matches(source: UpstreamSource, patterns: Iterable[str], project: str) -> bool:
    return any(_compiled(source.protocol, pattern).match(project) for pattern in patterns)


@lru_cache(maxsize=4096)
def _compiled(protocol: str, pattern: str) -> re.Pattern[str]:
    # An operator writes `Acme_*` and means acme-*: a pattern that never matches a normalised name
    # would silently let the name out (PEP 503 for the rule of pypi).
    pattern = pattern.strip()
    if protocol == "pypi":
        pattern = re.sub(r"[-_.]+", "-", pattern).lower()
    return re.compile(translate(pattern))
