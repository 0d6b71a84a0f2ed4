"""What advisories say of one project: which of its versions are malware or vulnerable."""

from __future__ import annotations

import msgspec

from shared.policy.advisories import Advisory, Order
from shared.policy.verdict import Verdict


def unordered(version: str) -> None:
    """Of a protocol whose versions nobody can put in order."""


class Advised(msgspec.Struct, frozen=True):
    """The advisories on a project that count."""

    malware: tuple[Advisory, ...] = ()
    vulnerabilities: tuple[Advisory, ...] = ()  # the most severe first
    order: Order = unordered
    since: float = 0.0  # unix seconds: what was stored before stays, if `stored_stay`
    stored_stay: bool = True

    def is_malware(self, version: str) -> Verdict | None:
        """Of a version; of "": of whatever version. None: it is not."""
        for each in self.malware:
            if each.affects(version, self.order) if version else each.is_about_all:
                return Verdict(False, "malware", each.told)
        return None

    def is_vulnerable(self, version: str, stored_at: float) -> Verdict | None:
        """`stored_at` in unix seconds, 0: not here. What was here before an advisory was known stays."""
        for each in self.vulnerabilities:
            spared = self.stored_stay and stored_at and stored_at < max(each.seen_at, self.since)
            if version and not spared and each.affects(version, self.order):
                fixed = each.fixed_for(version, self.order)
                behind = f"fixed in {fixed}" if fixed else "no fixed version is known"
                return Verdict(False, "vulnerability", f"{each.told}; {behind}")
        return None
