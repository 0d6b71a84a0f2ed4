"""What a rule would have refused in the last 30 days, and whom: of what the ledger says was served."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from services.gateway.api.admin.policy_reading import SourceNames
from shared.judging.listings import Listing, load_listing
from shared.ledger.batch import REFUSED
from shared.policy.content import Listed, Project, asked
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import Rules
from shared.policy.traits import Change, Traits, change_of
from shared.postgres.database import Database, Row
from shared.process.threads import BoundedThreads
from shared.protocols import find_protocol, named_alike
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import project_of, traits_of
from shared.protocols.package_urls import told_purl
from shared.redis import clock
from shared.setting_values import age
from shared.stores import Stores

DAYS = 30
MOST_VERSIONS = 20_000  # the most served
MOST_LISTS = 500  # projects whose lists are read, for rules that ask more than names
MOST_SECONDS = 20.0  # of reading lists: what is not read by then is judged by its name
SHOWN = 20

_SERVED = """
SELECT f.protocol, f.project, f.version, sum(d.times)::bigint AS times,
       extract(epoch FROM min(d.first_at))::float8 AS first_at,
       (array_agg(DISTINCT d.client_id))[1:100] AS clients, min(f.filename) AS filename
FROM servings_daily d JOIN serving_files f ON f.id = d.file_id
WHERE d.day >= $1 AND d.result <> $2 AND f.project <> ''
GROUP BY f.protocol, f.project, f.version ORDER BY times DESC LIMIT $3
"""
_NAMED = ("protocol", "project", "version", "filename")
_CLIENTS = "SELECT id, address, token, tool, version FROM serving_clients WHERE id = ANY($1)"


class DryRun(msgspec.Struct, frozen=True):
    """Of one rule."""

    name: str
    versions: int  # that it would have refused
    of: int  # that were served
    servings: int
    clients: int
    refuses_all: bool  # of some protocol
    examples: list[str]  # package URLs with the reason, the most served first
    whom: list[str]  # token or address, and tool
    source_unknown: int = 0  # of `versions`: those of a rule about sources where nobody noted the source


async def dry_run(
    database: Database,
    stores: Stores,
    parsers: BoundedThreads,
    rules: Sequence[NamedRule],
    sources: SourceNames,
) -> list[DryRun]:
    """In the rules' order. The ledger does not say from which source a version came: its list does, where it
    is stored. Raises `DatabaseUnavailable`."""
    now = datetime.fromtimestamp(clock.now(), UTC)
    since = now - timedelta(days=DAYS)
    rows = await database.fetch(_SERVED, since.date(), REFUSED, MOST_VERSIONS)
    concerned = await stores.threads.run(_concerned, rows, rules, sources)
    found: dict[str, list[tuple[Row, str]]] = {each.name: [] for each in rules}
    unknown = dict.fromkeys(found, 0)
    began = time.monotonic()
    lists = 0
    for protocol, project, about, versions in concerned:
        listing = None
        if any(map(asks_list, about)) and lists < MOST_LISTS and time.monotonic() - began < MOST_SECONDS:
            lists += 1
            listing = await load_listing(stores, protocol, project)
        for rule, row, why in await parsers.run(
            refused, protocol, project, about, versions, listing, since.timestamp()
        ):
            found[rule.name].append((row, why))
            unknown[rule.name] += is_source_unknown(rule, listing)
    served = Counter(row["protocol"] for row in rows)
    told = [await _told(database, rule, found[rule.name], served) for rule in rules]
    return [msgspec.structs.replace(each, source_unknown=unknown[each.name]) for each in told]


def _concerned(
    rows: Sequence[Row], rules: Sequence[NamedRule], sources: SourceNames
) -> list[tuple[PackageProxyBase, str, list[NamedRule], list[Row]]]:
    """The projects that rules are about: with these, and the rows of each."""
    by_project: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_project.setdefault((row["protocol"], row["project"]), []).append(row)
    found = []
    for (name, project), versions in by_project.items():
        protocol = find_protocol(name)
        about = about_project(rules, name, project, sources.get(name, frozenset()))
        if protocol is not None and about:
            found.append((protocol, project, about, versions))
    return found


def about_project(
    rules: Sequence[NamedRule], protocol: str, project: str, sources: Collection[str]
) -> list[NamedRule]:
    """Those that are about a project. `sources`: that its protocol has; what comes from none of these is no
    matter of a rule about others."""
    return [
        each
        for each in rules
        if each.is_about(protocol, project) and not (each.sources and set(sources).isdisjoint(each.sources))
    ]


def asks_list(rule: NamedRule) -> bool:
    """Whether it asks more than names: where a list came from stands beside the list."""
    return rule.kind not in ("refuse", "only") or bool(rule.sources)


def is_source_unknown(rule: NamedRule, listing: Listing | None) -> bool:
    """Whether a rule about sources counts for a project because nobody noted its source."""
    return bool(rule.sources) and (listing is None or not listing.seen.source)


def refused(
    protocol: PackageProxyBase,
    project: str,
    rules: Sequence[NamedRule],
    versions: Sequence[Row],
    listing: Listing | None,
    since: float,
) -> list[tuple[NamedRule, Row, str]]:
    """Which of these versions that were served (rows of `_SERVED`) each rule is against, and why. `since`:
    unix seconds from which on a rule counts as in force."""
    known = {} if listing is None else _known(protocol, listing)
    about = Project(protocol.name, project)
    if listing is not None:
        about = project_of(protocol, project, listing.seen, listing.sealed)
    trusting = [each for each in rules if each.trust or each.signed_by]
    downgrades = {each.name: _downgrades(protocol, listing, each) for each in trusting}
    found = []
    for row in versions:
        version = row["version"]
        each, change = known.get(version, (Listed(Traits(version)), Change()))
        for rule in rules:
            if version in downgrades.get(rule.name, {}):
                found.append((rule, row, downgrades[rule.name][version]))
                continue
            counting = msgspec.structs.replace(rule, since=min(rule.since, since))
            at = row["first_at"]
            if rule.minimum_age and each.published and each.published + age(rule.minimum_age) <= at:
                continue
            against = asked(counting, about, each, change, at)
            if against is not None:
                found.append((rule, row, against.why))
    return found


def _downgrades(protocol: PackageProxyBase, listing: Listing | None, rule: NamedRule) -> dict[str, str]:
    """Why each version is held by a rule about provenance, by what is known of that."""
    if listing is None:
        return {}
    alone = Policy((), Rules(stored_stay=False), named_rules=[rule], named=named_alike)
    entries, _ = listing.judged(protocol, alone.of(protocol.name, listing.project), clock.now())
    return {
        each.version: found.why for each, _, found in entries if found is not None and found.rule == "trust"
    }


def _known(protocol: PackageProxyBase, listing: Listing) -> dict[str, tuple[Listed, Change]]:
    """By version, as if all before had been allowed."""
    if not listing.body:
        return {}
    now = clock.now()
    document = protocol.documents.decode_document(listing.body)
    identity = protocol.grammar.index_identity(listing.project)
    told = traits_of(protocol, listing.project, document, listing.sealed)
    traits = {each.version: each for each in told}
    dates: dict[str, float] = {}
    for each in protocol.documents.dated(identity, document):
        date = listing.seen.date_of(each, now)
        dates[each.version] = min(date, dates.get(each.version, date))
    found: dict[str, tuple[Listed, Change]] = {}
    last: Traits | None = None
    for version, date in sorted(dates.items(), key=lambda pair: pair[1]):
        its = traits.get(version) or Traits(version)
        found[version] = (Listed(its, date), change_of(its, last))
        last = its
    return found


def _shuts_one(rule: NamedRule, refused: Sequence[tuple[Row, str]], served: Counter[str]) -> bool:
    """Whether nothing is left of what was served of a protocol; of one package alone that is what it says."""
    for protocol, times in Counter(row["protocol"] for row, _ in refused).items():
        projects = {row["project"] for row, _ in refused if row["protocol"] == protocol}
        if times == served[protocol] and (len(projects) > 1 or not rule.names):
            return True
    return False


async def _told(
    database: Database, rule: NamedRule, refused: Sequence[tuple[Row, str]], served: Counter[str]
) -> DryRun:
    clients = {client for row, _ in refused for client in row["clients"]}
    rows = await database.fetch(_CLIENTS, sorted(clients)[:SHOWN]) if clients else []
    return DryRun(
        name=rule.name,
        versions=len(refused),
        of=served.total(),
        servings=sum(row["times"] for row, _ in refused),
        clients=len(clients),
        refuses_all=rule.action == "hold" and _shuts_one(rule, refused, served),
        examples=[f"{told_purl(*(row[name] for name in _NAMED))}: {why}" for row, why in refused[:SHOWN]],
        whom=[f"{each['token'] or each['address']} ({each['tool']} {each['version']})" for each in rows],
    )
