"""Why a package of a tree could not be had."""

from __future__ import annotations


class Failure:
    """Why a package was not had. `passing`: a later try may. `pending`: its document is not known yet."""

    __slots__ = ("passing", "pending", "reason")

    def __init__(self, reason: str, *, passing: bool = False, pending: bool = False) -> None:
        self.reason = reason
        self.passing = passing
        self.pending = pending
