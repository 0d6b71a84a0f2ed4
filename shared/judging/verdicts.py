"""What the policy says of a project's versions and stored files: for whoever tells it to people, or compares
it with what was kept. As the page would be made now, and as each file would be answered."""

from __future__ import annotations

import math

import msgspec

from shared.judging.listings import Listing
from shared.models import SealedFile
from shared.policy.age import Dated
from shared.policy.content import Held, as_told
from shared.policy.policy import Policy
from shared.policy.project import ProjectVerdicts
from shared.policy.verdict import UNKNOWN, Subject, Verdict
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import by_entry, judged_of


class Entry(msgspec.Struct, frozen=True):
    """What a project's list names (a version, or a file where those of a version differ in age), or what is
    stored and in no list."""

    listed: Dated
    published: float  # unix seconds: when it counts as published
    verdict: Verdict  # as a page takes it
    files: tuple[tuple[SealedFile, Verdict], ...]  # what is stored of it, each as it is answered
    held: Held | None  # what the rules of the policy file found of its version

    @property
    def warnings(self) -> list[str]:
        """Of rules that only warn."""
        return [] if self.held is None else list(self.held.warnings.values())


class Judged(msgspec.Struct, frozen=True):
    """All of a project, at one moment."""

    verdicts: ProjectVerdicts
    listing: Listing
    entries: list[Entry]  # in the list's order, then what it lacks
    now: float  # unix seconds

    def verdict(self, version: str, sha256: str = "") -> Verdict | None:
        """Of a version (canonical), or of these bytes of it. Some of what is listed of it is served: then it
        is; else time lets it in with the first of that. None: neither listed nor stored, and a rule that
        counts asks for more than its name."""
        known = [each for each in self.entries if each.listed.version == version]
        if sha256:
            exact = [verdict for each in known for file, verdict in each.files if file.sha256 == sha256]
            exact += [each.verdict for each in known if each.listed.mark == sha256]
            if exact:
                return exact[0]
        listed = [each.verdict for each in known if not each.listed.unlisted]
        if known:
            said = listed or [each.verdict for each in known]
            return min(said, key=lambda verdict: (not verdict.allowed, verdict.until or math.inf))
        return self.verdicts.of_version(version, sha256, self.now)

    def by_name(self, version: str) -> Verdict | None:
        """Of the whole project (""), or of a version that nobody knows here: what refuses it by its name, or
        lets it in."""
        return self.verdicts.by_name(version, "") or self.verdicts.listed


def judge(
    protocol: PackageProxyBase, listing: Listing, policy: Policy, now: float, *, why: bool = False
) -> Judged:
    """Takes what parsing takes; `now` in unix seconds. `why`: what is served for no reason but that it was
    stored before something is told so, by the rule "stored", with what is against it. Raises
    `AdvisoriesUnknown`, `UpstreamInvalid`."""
    policy.look()
    verdicts = policy.of(protocol.name, listing.project)
    found = _judge(protocol, listing, verdicts, now)
    if not (why and verdicts.judges and listing.sealed):
        return found
    anew = _judge(protocol, listing, verdicts.as_if_new(), now)
    pairs = zip(found.entries, anew.entries, strict=True)
    entries = [_spared(verdicts, each, new) if each.files else each for each, new in pairs]
    return msgspec.structs.replace(found, entries=entries)


def _spared(verdicts: ProjectVerdicts, entry: Entry, anew: Entry) -> Entry:
    """With what would be said of it, and of each of its stored files, if it had not been stored: `anew`."""

    def told(said: Verdict, new: Verdict, stored_at: float) -> Verdict:
        is_spared = said.allowed and not new.allowed and verdicts.spares(new, stored_at)
        return new.spared(stored_at) if is_spared else said

    files = tuple(
        (file, told(said, new, file.stored_at))
        for (file, said), (_, new) in zip(entry.files, anew.files, strict=True)
    )
    first = min(file.stored_at for file, _ in entry.files)
    return msgspec.structs.replace(entry, verdict=told(entry.verdict, anew.verdict, first), files=files)


def _judge(protocol: PackageProxyBase, listing: Listing, verdicts: ProjectVerdicts, now: float) -> Judged:
    project = listing.project
    document = listing.document(protocol)
    judged, contents = judged_of(protocol, project, document, verdicts, listing.seen, listing.sealed, now)
    stored = by_entry(protocol, project, listing.sealed, document)
    entries = []
    for listed, of, verdict in judged:
        files = stored.get(listed.name, ())
        answered = tuple((each, _of_stored(verdicts, of, each, now)) for each in files)
        held = contents.get(listed.version)
        entries.append(Entry(listed, of.published, verdict or UNKNOWN, answered, held))
    return Judged(verdicts, listing, entries, now)


def _of_stored(verdicts: ProjectVerdicts, of: Subject, file: SealedFile, now: float) -> Verdict:
    """A stored file has its date, and what it was judged to be; else those of its entry, as a fetcher notes
    them when it is asked for."""
    judged = file.judged
    if as_told(verdicts.content_stamp, judged, now) is UNKNOWN:
        judged = of.judged
    found = msgspec.structs.replace(
        of,
        sha256=file.sha256,
        published=file.published or min(of.published, file.stored_at),
        stored_at=file.stored_at,
        judged=judged,
        promised=file.file_id,
    )
    return verdicts.verdict(found, now) or UNKNOWN
