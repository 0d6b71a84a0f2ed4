"""Views: a first part of every address, `/v/{view}/`, that narrows what a client sees (docs/decisions/0050).

Taken off before any protocol is asked. Whatever a view is spelt like, it has one name, which keys and links
hold.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

from shared import setting_values
from shared.errors import MalformedRequest, RouteNotFound

PREFIX = b"/v/"
FIRST_MOMENT = 315_532_800.0  # 1980-01-01: no registry is older, and digits below are no seconds
LONGEST = 128  # bytes of a view's name as it comes
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_MOMENT = re.compile(
    r"at-([0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)"
)


_BUILD = re.compile(r"build-[a-z2-7]{32}")
_LOCK = re.compile(r"lock-[0-9a-f]{64}")
BUILD = "build-"  # how the names of builds begin; their ids follow
LOCK = "lock-"  # the same of locks, whose keys follow
LISTED = (BUILD, LOCK)
"""Views that know a list, and nothing else."""


def is_build_id(text: str) -> bool:
    """Whether this can be the id of a build."""
    return _BUILD.fullmatch(BUILD + text) is not None


def is_lock_key(text: str) -> bool:
    """Whether this can be the key of a lock."""
    return _LOCK.fullmatch(LOCK + text) is not None


class View(msgspec.Struct, frozen=True):
    """`at`: what there was at `moment` (unix seconds), and nothing published later. `build`: what a session
    got, or gets. `lock`: the files of a lock."""

    name: str  # as keys and links hold it: "at-1767225600"
    kind: Literal["at", "build", "lock"] = "at"
    moment: float = 0.0

    @property
    def path(self) -> str:
        """What stands before a protocol's mount point in addresses."""
        return f"/v/{self.name}"


def view_of_list(id: str) -> View:
    """The view of a build's id, or of a lock's key. Raises `RouteNotFound` for what is neither."""
    return view_named((LOCK if is_lock_key(id) else BUILD) + id)


def split_view(raw_path: bytes) -> tuple[View | None, bytes]:
    """The view of an undecoded path, and the path below it; None of a path that is in no view.

    Raises `RouteNotFound` and `MalformedRequest` for what is no view.
    """
    if not raw_path.startswith(PREFIX):
        return None, raw_path
    name, slash, rest = raw_path[len(PREFIX) :].partition(b"/")
    if len(name) > LONGEST:
        raise RouteNotFound("no view has so long a name")
    text = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), name).decode("latin-1")
    return view_named(text), slash + rest


@lru_cache(maxsize=1024)
def view_named(name: str) -> View:
    """The view of this name, in any spelling. Raises `RouteNotFound`, `MalformedRequest`."""
    if name.startswith("at-"):
        digits = name.removeprefix("at-")
        found = _MOMENT.fullmatch(name)
        try:
            if digits.isascii() and digits.isdigit():
                moment = float(digits)
            elif found is not None:
                moment = float(int(setting_values.date(found[1])))
            else:
                raise ValueError(name)
            if not FIRST_MOMENT <= moment < setting_values.LAST_MOMENT:
                raise ValueError(name)
        except (ValueError, OverflowError, msgspec.ValidationError):
            raise MalformedRequest(
                "the view is no date: /v/at-2026-01-01/… or /v/at-2026-01-01T12:00:00Z/…, in UTC, or unix "
                "seconds, from 1980 on"
            ) from None
        return View(f"at-{moment:.0f}", "at", moment)
    if _BUILD.fullmatch(name):
        return View(name, "build")
    if _LOCK.fullmatch(name):
        return View(name, "lock")
    raise RouteNotFound("there is no such view: /v/at-{date}/…, /v/build-{id}/… and /v/lock-{key}/… are")
