"""What Cargo asks next: after a crate's index file those of what the version needs that it takes.

`wanted` is "{requirement}|{features, commas between}|{1 with the default features, else 0}".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.errors import UpstreamInvalid
from shared.policy.project import NOTHING, ProjectVerdicts
from shared.protocols.cargo import names
from shared.protocols.cargo.entries import BadEntry, read_entry
from shared.protocols.cargo.index import NEWEST_FORMAT, IndexFile
from shared.protocols.cargo.requirements import parse_requirement
from shared.protocols.cargo.resolver.features import FeatureCycle, MissingFeature, activate
from shared.protocols.cargo.resolver.summaries import Dependency, Summary, make_summary
from shared.protocols.cargo.semver import parse_version
from shared.protocols.roles.ahead import MOST_NAMES, Ahead, Guess

ANY = "*||1"  # the newest, with its default features

_TOOL = re.compile(r"cargo[/ ][0-9]+\.")


def chosen(file: IndexFile, requirement: str, blocks: ProjectVerdicts) -> Summary | None:
    """The newest version that will do."""
    wanted = parse_requirement(requirement)
    if wanted is None:
        raise UpstreamInvalid("what is wanted of a crate cannot be read")
    fitting = [
        (version.key, line)
        for line in file.lines
        if not line.yanked
        and line.format <= NEWEST_FORMAT
        and line.cksum not in blocks.digests
        and names.canonical_version(line.version) not in blocks.versions
        and (version := parse_version(line.version)) is not None
        and wanted.matches(version)
    ]
    fitting.sort(key=lambda each: each[0], reverse=True)
    for _, line in fitting:
        try:
            entry = read_entry(line.raw)
            return make_summary(entry, map(Dependency, entry.deps))
        except BadEntry:
            continue
    return None


class CargoAhead(Ahead):
    """Index files, one level after the other."""

    def tool(self, user_agent: str) -> str:
        return "cargo" if _TOOL.match(user_agent) else ""

    def after_index(
        self,
        identity: str,
        document: IndexFile,
        tool: str,
        wanted: str,
        blocks: ProjectVerdicts = NOTHING,
    ) -> Sequence[Guess]:
        requirement, features, defaults = (wanted or ANY).split("|")
        summary = chosen(document, requirement, blocks)
        if summary is None:
            return []
        asked = frozenset(filter(None, features.split(",")))
        try:
            needed = activate(summary, asked, defaults == "1").dependencies
        except (MissingFeature, FeatureCycle):
            return []
        found = [
            Guess(
                names.canonical(each.crate),
                names.index_identity(names.canonical(each.crate)),
                wanted=f"{each.requirement.text}|{','.join(sorted(enabled))}|{int(each.default_features)}",
            )
            for each, enabled in needed
            if not each.registry and names.is_name(each.crate) and "|" not in "".join(enabled)
        ]
        return found if len(found) <= MOST_NAMES else []
