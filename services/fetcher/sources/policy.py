"""Which upstreams may be asked for a project, in which order, and what their answers mean for the next.
Pure; the guard against dependency confusion (docs/decisions/0022-whose-name-it-is.md).

Who may be asked, the first that applies decides:
1. A name that matches an include pattern is bound: only the sources whose patterns match it may be
   asked, whether they are enabled or not. Disabling the private source must not send its names out.
2. A source with include patterns is asked for nothing else; one whose exclude pattern matches is
   not asked.
3. A project whose files were served once is pinned: of what is left only that source may be asked, and
   those of its merge group. If none is left, none is asked.
4. The rest is asked owner by owner, in order of priority, then of age. An owner is one source, or all
   sources of one merge group (`SourceOptions.merge`), or all that an operator pinned the project to.

What an answer means for the next source (`reading_of`): only a true "not here" leads on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote, urlsplit

from shared.errors import NoSource, OrchardError
from shared.imports.rows import is_import
from shared.models import UpstreamSource
from shared.protocols import find_protocol
from shared.sources.urls import same_host

Owner = tuple[UpstreamSource, ...]
"""Sources that belong together, in the order in which they are asked; never empty."""

Reading = Literal["here", "absent", "strayed"]


def owners(sources: Iterable[UpstreamSource], project: str, pinned: Collection[int] = ()) -> list[Owner]:
    """Who may be asked, in order; empty if nobody may be (`nobody_asked` says why).

    `project` is normalised; "" (the list of all projects) knows neither patterns nor pins. `pinned`: ids
    of the sources that the project is pinned to.
    """
    found: dict[object, list[UpstreamSource]] = {}
    for source in sorted(_left(list(sources), project, pinned), key=lambda each: (each.priority, each.id)):
        if source.enabled:
            key = "" if len(pinned) > 1 else source.options.merge or source.id
            found.setdefault(key, []).append(source)
    return [tuple(group) for group in found.values()]


def candidates(
    sources: Iterable[UpstreamSource], project: str, pinned: Collection[int] = ()
) -> list[UpstreamSource]:
    """The sources of `owners`, in order, without grouping."""
    return [source for owner in owners(sources, project, pinned) for source in owner]


def higher(sources: Sequence[UpstreamSource], project: str, pinned: Collection[int]) -> list[UpstreamSource]:
    """The sources that would be asked for a pinned project before those that it is pinned to."""
    bound = {source.id for source in candidates(sources, project, pinned)}
    found: list[UpstreamSource] = []
    for owner in owners(sources, project):
        if any(source.id in bound for source in owner):
            return found
        found += owner
    return []


def nobody_asked(
    sources: Iterable[UpstreamSource],
    project: str,
    pinned: Collection[int],
    absent: type[OrchardError],
) -> OrchardError:
    """The error where `owners` is empty: `absent` if every source excludes the name, which is then served
    nowhere; else `NoSource`, for nobody says that it is not there. Names sources, never addresses."""
    known = list(sources)
    if known and not _allowed(known, project):
        return absent(f"every source excludes {project}")
    return NoSource(why_none(known, project, pinned))


def why_none(sources: Iterable[UpstreamSource], project: str, pinned: Collection[int] = ()) -> str:
    """One line for a person: why `owners` is empty, and what to do."""
    known = list(sources)
    if not known:
        return "there is no upstream source: `orchard upstreams add` makes one"
    protocol = known[0].protocol
    left = _left(known, project, pinned)
    resume = " or ".join(f"`orchard upstreams resume {protocol}/{each.name}`" for each in left)
    again = f"which is paused: {resume} has it asked again"
    if pinned:
        names = _names(source for source in known if source.id in pinned)
        way_out = f"`orchard pins remove {protocol} {project}` lets go of it, `orchard pins set` moves it"
        if not names:
            return f"{project} is pinned to a source that is gone: {way_out}"
        if not left:
            return f"{project} is pinned to source {names}, which may not be asked for it: {way_out}"
        return f"{project} is pinned to source {names}, {again}; {way_out}"
    return f"{project or 'this'} may only be asked at source {_names(left)}, {again}"


def why_absent(sources: Iterable[UpstreamSource], project: str, pinned: Collection[int], what: str) -> str:
    """One line for a person: that nobody who may be asked has `what`; where others may have it, how to let
    them be asked."""
    known = list(sources)
    asked = candidates(known, project, pinned)
    others = [source for source in candidates(known, project) if source not in asked]
    if not pinned or not others:
        return f"no upstream has {what}"
    if not asked:
        return why_none(known, project, pinned)
    both = " ".join(source.name for source in (*asked, others[0]))
    return (
        f"{_names(asked)} does not have {what}, and {project} belongs to it; `orchard pins set "
        f"{asked[0].protocol} {project} {both}` has it looked for in {others[0].name} too"
    )


def unheard(sources: Iterable[UpstreamSource], project: str, pinned: Collection[int]) -> NoSource | None:
    """The error where all that were asked are imports, and say "absent", while others are paused: an import
    knows what was brought here, and not what there is."""
    left = _left(list(sources), project, pinned)
    paused = [each for each in left if not each.enabled]
    if not paused or any(each.enabled and not is_import(each.url) for each in left):
        return None
    return NoSource(f"{project or 'this'} was not imported; besides, {why_none(paused, project, pinned)}")


def reading_of(source: UpstreamSource, status: int, asked: str, url: str, *, page: bool) -> Reading:
    """The meaning of an answer. `asked` is the address that was asked, `url` where the answer came from,
    after redirects; `page`: it is an index, which says what there is, and not a file, which may lie anywhere.

    "absent" only by the source's own answer: 404, 410 or one of its `absent_statuses`, from an address
    within the source that still names what was asked for. "strayed": another place answered (a missing
    login page, say), so the source itself has not answered.
    """
    if status in (404, 410) or status in source.options.absent_statuses:
        return "absent" if is_within(source.url, url) and _names_the_same(source, asked, url) else "strayed"
    if page and not source.options.pages_elsewhere and not same_host(source.url, url):
        return "strayed"
    return "here"


def is_within(root: str, url: str) -> bool:
    """Whether an address is at the host of a source and below its path."""
    path = urlsplit(root).path.rstrip("/")
    asked = urlsplit(url).path
    if ".." in _segments(url):  # encoded dots: servers go up all the same
        return False
    return same_host(root, url) and (asked.rstrip("/") == path or asked.startswith(path + "/"))


def _names_the_same(source: UpstreamSource, asked: str, url: str) -> bool:
    """Whether an address has the last part of the one that was asked for, in whatever spelling its protocol
    takes for the same name."""
    wanted = _segments(asked)[-1:]
    if asked == url or not wanted:
        return True
    protocol = find_protocol(source.protocol)
    spelt = protocol.names.canonical_name if protocol is not None else str
    return spelt(wanted[0]) in map(spelt, _segments(url))


def _segments(url: str) -> list[str]:
    """The parts of an address's path, decoded."""
    return [part for part in unquote(urlsplit(url).path).split("/") if part]


def _left(sources: Sequence[UpstreamSource], project: str, pinned: Collection[int]) -> list[UpstreamSource]:
    left = _allowed(sources, project)
    if not project or not pinned:
        return left
    groups = {each.options.merge for each in sources if each.id in pinned} - {""}
    return [source for source in left if source.id in pinned or source.options.merge in groups]


def _allowed(sources: Sequence[UpstreamSource], project: str) -> list[UpstreamSource]:
    if not project:
        return list(sources)
    bound = [source for source in sources if _matches(source, source.include, project)]
    left = bound or [source for source in sources if not source.include]
    return [source for source in left if not _matches(source, source.exclude, project)]


def _names(sources: Iterable[UpstreamSource]) -> str:
    return ", ".join(sorted(source.name for source in sources))


def _matches(source: UpstreamSource, patterns: Iterable[str], project: str) -> bool:
    return any(_compiled(source.protocol, pattern).match(project) for pattern in patterns)


@lru_cache(maxsize=4096)
def _compiled(protocol: str, pattern: str) -> re.Pattern[str]:
    spoken = find_protocol(protocol)
    meant = spoken.names.meant_patterns(pattern.strip()) if spoken is not None else (pattern.strip(),)
    return re.compile("|".join(map(translate, meant)), re.IGNORECASE)
