"""`Traits`: what the rules may ask of a version, as its project's own list tells it. Pure."""

from __future__ import annotations

import msgspec

MOST_TOLD = 200  # dependencies, scripts or maintainers of one version: more is not looked at


class Traits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one version. What a protocol's list does not tell is empty, or None."""

    version: str  # canonical
    licence: str | None = None  # as its publisher writes it, SPDX mostly; "": it tells none; None: not known
    scripts: bool | None = None  # whether installing it runs what its publisher wrote
    sdist_only: bool | None = None  # it must be built, which runs it too
    dependencies: tuple[str, ...] = ()
    maintainers: tuple[str, ...] = ()
    size_bytes: int = 0  # 0: not told
    yanked: bool = False
    deprecated: bool = False

    @property
    def runs(self) -> bool:
        """Whether an install runs its code, as far as anybody says."""
        return bool(self.scripts or self.sdist_only)


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a version has that the last allowed one before it had not."""

    since: str = ""  # that version; "": there is none
    dependencies: tuple[str, ...] = ()
    maintainers: tuple[str, ...] = ()
    scripts: bool = False
    licence: tuple[str, str] = ("", "")  # before and now, if they differ
    size_times: float = 0.0  # how many times as large, from 2 on


def change_of(traits: Traits, before: Traits | None) -> Change:
    """`before`: the last allowed version; None: there is none."""
    if before is None:
        return Change()
    times = traits.size_bytes / before.size_bytes if before.size_bytes else 0.0
    licences = (before.licence or "", traits.licence or "")
    is_known = before.licence is not None and traits.licence is not None
    return Change(
        since=before.version,
        dependencies=tuple(sorted(set(traits.dependencies) - set(before.dependencies))),
        maintainers=tuple(sorted(set(traits.maintainers) - set(before.maintainers))),
        scripts=traits.runs and not before.runs,
        licence=licences if is_known and licences[0] != licences[1] else ("", ""),
        size_times=round(times, 1) if times >= 2 else 0.0,
    )
