"""`SourceRepository`: the rows of `upstream_sources`, and how those of the environment follow its
variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shared.default_upstreams import default_upstream
from shared.errors import ConfigurationError, OrchardError, SourceUnusable
from shared.errors.passing import DatabaseUnavailable
from shared.models import SourceLimits, UpstreamSource
from shared.postgres.database import Database, Row
from shared.settings import Settings, upstream_variable
from shared.sources.box import VARIABLE, SealingBox
from shared.sources.credentials import Credentials
from shared.sources.options import SourceOptions, known_options
from shared.sources.urls import SourceAddress, split_credentials

CHANNEL = "orchard_sources"
_ATTEMPTS = 20
_PRIORITY = 100  # of the first source of a variable; an operator's rows can go before or behind

_LOAD = """
SELECT coalesce(r.revision, 0) AS revision, s.*
FROM (SELECT 1) one
LEFT JOIN source_revisions r ON r.protocol = $1
LEFT JOIN upstream_sources s ON s.protocol = $1
ORDER BY s.priority, s.id
"""

_SEED = "INSERT INTO source_revisions (protocol, revision) VALUES ($1, 1) ON CONFLICT DO NOTHING"

# Rows restored from a backup have an old number. Notified, as any change of the revision is.
_LIFT = """
WITH lifted AS (
    INSERT INTO source_revisions AS current (protocol, revision) VALUES ($1, $2::bigint + 1)
    ON CONFLICT (protocol) DO UPDATE SET revision = excluded.revision WHERE current.revision < $2
    RETURNING 1
)
SELECT pg_notify('orchard_sources', $1) FROM lifted
"""

# `guard` holds the revision's row: if another process changed a source since the plan was made,
# nothing is written and the plan is made anew. What is equal is not touched: it raises no revision.
_APPLY = """
WITH guard AS (
    SELECT 1 FROM source_revisions WHERE protocol = $1 AND revision = $2 FOR UPDATE
), desired AS (
    SELECT * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::bool[], $9::text[])
        WITH ORDINALITY AS t(id, name, url, sealed, allow_private, options, nth)
    WHERE EXISTS (SELECT FROM guard)
), updated AS (
    UPDATE upstream_sources s
    SET url = d.url, username = '', password = '', sealed = d.sealed, allow_private = d.allow_private,
        priority = CASE WHEN s.position = d.nth THEN s.priority ELSE $8::int + d.nth - 1 END,
        enabled = s.enabled OR s.position IS NULL,
        options = coalesce(d.options::jsonb, s.options),
        position = d.nth
    FROM desired d
    WHERE s.id = d.id AND (s.url, s.username, s.password, s.sealed, s.allow_private, s.position, s.options)
        IS DISTINCT FROM
        (d.url, '', '', d.sealed, d.allow_private, d.nth::int, coalesce(d.options::jsonb, s.options))
), removed AS (
    UPDATE upstream_sources s SET enabled = false, position = NULL
    WHERE s.protocol = $1 AND s.origin = 'env' AND s.position IS NOT NULL AND s.id <> ALL ($3)
      AND EXISTS (SELECT FROM guard)
), added AS (
    INSERT INTO upstream_sources
        (protocol, name, url, sealed, allow_private, options, priority, position, origin)
    SELECT $1, name, url, sealed, allow_private, coalesce(options::jsonb, '{}'), $8::int + nth - 1, nth, 'env'
    FROM desired WHERE id = 0
)
SELECT 1 FROM guard
"""

# Only what is still as it was read: another process may have sealed it, or an operator changed it.
_RESEAL = """
UPDATE upstream_sources SET sealed = $2, username = '', password = ''
WHERE id = $1 AND url = $3 AND sealed = $4 AND username = $5 AND password = $6
"""


class SourceSet(msgspec.Struct, frozen=True):
    """All sources of a protocol, disabled ones too, with the revision they stand at."""

    protocol: str
    revision: int  # 0: no source was ever written
    sources: tuple[UpstreamSource, ...]


class EnvSource(msgspec.Struct, frozen=True):
    """A row made from the environment, as far as matching needs it."""

    id: int
    name: str
    url: str
    position: int | None  # from 1; None: no longer in the variable


class SourceRepository:
    """Every method raises `DatabaseUnavailable` (passing) or `InvalidData`.

    `box` opens credentials; without it sources that have any are there, and named unusable.
    """

    def __init__(self, database: Database, box: SealingBox | None = None) -> None:
        self._database = database
        self._box = box if box is not None else SealingBox()

    async def load(self, protocol: str) -> SourceSet:
        """Sources with their secrets, in order of priority, and their revision. One query."""
        rows = await self._database.fetch(_LOAD, protocol)
        sources = tuple(_source(row, self._box) for row in rows if row["id"] is not None)
        return SourceSet(protocol, rows[0]["revision"], sources)

    async def list(self, protocol: str) -> list[UpstreamSource]:
        """Sources with their secrets, in order of priority, disabled ones too. One query."""
        return list((await self.load(protocol)).sources)

    async def revision(self, protocol: str) -> int:
        """The number that every change of the protocol's sources raises; 0 if there never was one."""
        row = await self._database.fetchrow(
            "SELECT revision FROM source_revisions WHERE protocol = $1", protocol
        )
        return 0 if row is None else int(row["revision"])

    async def lift(self, protocol: str, known: int) -> bool:
        """Raise the revision above `known`, which was read before, if it went back since. Whether it had."""
        return bool(await self._database.fetch(_LIFT, protocol, known))

    async def sync_from_settings(
        self, settings: Settings, protocols: Iterable[str], environ: Mapping[str, str]
    ) -> dict[str, str]:
        """Makes the environment's rows equal to ORCHARD_*_UPSTREAM or the default of each protocol.

        Returns for each protocol where its addresses came from, for the banner. Equal values change
        nothing and raise no revision. Raises `ConfigurationError` for an unusable address.
        """
        origins = {}
        wanted: list[tuple[str, Sequence[SourceAddress], bool]] = []
        for protocol in protocols:
            name = upstream_variable(protocol)
            texts: Sequence[str] = settings.upstreams.get(protocol, ())
            origins[protocol] = name
            trusted = settings.upstream_allow_private
            if not texts:
                text, origins[protocol] = default_upstream(protocol, environ, settings.port)
                texts = (text,)
            addresses = [split_credentials(text, name) for text in texts]
            self._check_key(protocol, addresses)
            wanted.append((protocol, addresses, trusted))
        # All were checked first: a database that is away must not hide what only the operator can mend.
        for protocol, checked, trusted in wanted:
            await self.sync(protocol, checked, allow_private=trusted)
        return origins

    def _check_key(self, protocol: str, addresses: Sequence[SourceAddress]) -> None:
        if any(each.username or each.password for each in addresses) and not self._box.has_key:
            raise ConfigurationError(
                f"{VARIABLE}: needed to keep the password in {upstream_variable(protocol)} sealed in "
                "the database (openssl rand -base64 32)"
            )

    async def sync(
        self, protocol: str, addresses: Sequence[SourceAddress], *, allow_private: bool = False
    ) -> None:
        """Makes the environment's rows equal to `addresses`, in priority order.

        A row keeps its id, and so its pins and patterns, as long as its URL stays in the list or,
        when the URL changed, its position. Options that an address names follow it, else they stay. Rows
        no longer named are disabled, not deleted: names bound or pinned to them stay closed. Operators'
        rows are not touched. Raises `ConfigurationError` for credentials without a key to seal them.
        """
        self._check_key(protocol, addresses)
        await self._database.execute(_SEED, protocol)
        for _ in range(_ATTEMPTS):
            rows = await self._database.fetch(_LOAD, protocol)
            known = [row for row in rows if row["id"] is not None]
            env = [
                EnvSource(row["id"], row["name"], row["url"], row["position"])
                for row in known
                if row["origin"] == "env"
            ]
            ids = match_rows(env, [address.url for address in addresses])
            names = _names(protocol, ids, {row["name"] for row in known})
            standing = {row["id"]: row for row in known}
            if await self._database.fetch(
                _APPLY,
                protocol,
                rows[0]["revision"],
                ids,
                names,
                [address.url for address in addresses],
                [
                    self._sealed(address, standing.get(known_id))
                    for known_id, address in zip(ids, addresses, strict=True)
                ],
                [allow_private] * len(addresses),
                _PRIORITY,
                [_options_text(address.options) for address in addresses],
            ):
                return
        raise DatabaseUnavailable("the upstream sources were changed by others at every try")

    def _sealed(self, address: SourceAddress, row: Row | None) -> str:
        """The sealed credentials of an address; as they stand in the row if they are the same there."""
        credentials = Credentials(address.username, address.password)
        if not credentials:
            return ""
        if row is not None and self._box.is_current(row["sealed"]):
            try:
                if self._box.open(row["sealed"], address.url) == credentials:
                    return str(row["sealed"])
            except SourceUnusable:
                pass  # of another address, or damaged: sealed anew
        return self._box.seal(credentials, address.url)

    async def reseal(self, protocol: str) -> tuple[int, Sequence[str]]:
        """Seals what an operator wrote plainly, and with the first key what an older one sealed.

        How many were sealed, and the names of those that could not be: plain ones without a key, and
        those whose key is missing.
        """
        sealed, left = 0, []
        for row in await self._database.fetch(_LOAD, protocol):
            if row["id"] is None or not (row["sealed"] or row["username"] or row["password"]):
                continue
            if row["sealed"] and self._box.is_current(row["sealed"]):
                continue
            try:
                fresh = self._box.seal(_credentials(row, self._box), row["url"])
            except OrchardError:
                left.append(row["name"])
                continue
            arguments = (row["id"], fresh, row["url"], row["sealed"], row["username"], row["password"])
            await self._database.execute(_RESEAL, *arguments)
            sealed += 1
        return sealed, left


def match_rows(rows: Sequence[EnvSource], urls: Sequence[str]) -> list[int]:
    """For each URL the id of the row it belongs to, 0 for a new one. Pure.

    By URL first: a reordered variable must not hand one source's pins to another's address. What is
    left goes by position: an address that was edited keeps its row.
    """
    free = {row.id: row for row in rows}
    ids = [0] * len(urls)
    for nth, url in enumerate(urls):
        same = [row for row in free.values() if row.url == url]
        if same:
            ids[nth] = min(same, key=lambda row: (row.position is None, row.id)).id
            del free[ids[nth]]
    for nth in range(len(urls)):
        if ids[nth] == 0:
            ids[nth] = next((row.id for row in free.values() if row.position == nth + 1), 0)
            free.pop(ids[nth], None)
    return ids


def _names(protocol: str, ids: Sequence[int], taken: set[str]) -> list[str]:
    """A free name for each new row (`pypi`, `pypi-2`, …); a row's name never changes after that."""
    names = []
    for known in ids:
        number, name = 1, protocol
        while known == 0 and name in taken:
            number += 1
            name = f"{protocol}-{number}"
        if known == 0:
            taken.add(name)
        names.append(name)
    return names


def _options_text(options: SourceOptions | None) -> str | None:
    return None if options is None else msgspec.json.encode(options).decode()


def _credentials(row: Row, box: SealingBox) -> Credentials:
    """Raises `SourceUnusable`."""
    if row["sealed"]:
        return box.open(row["sealed"], row["url"])
    return Credentials(row["username"], row["password"])


def _source(row: Row, box: SealingBox) -> UpstreamSource:
    credentials, fault = Credentials(), ""
    try:
        credentials = _credentials(row, box)
    except SourceUnusable as error:
        fault = error.message
    return UpstreamSource(
        id=row["id"],
        protocol=row["protocol"],
        name=row["name"],
        url=row["url"],
        priority=row["priority"],
        enabled=row["enabled"],
        username=credentials.username,
        password=credentials.password,
        token=credentials.token,
        credential_hosts=credentials.hosts,
        fault=fault,
        include=tuple(row["include"]),
        exclude=tuple(row["exclude"]),
        allowed_hosts=tuple(row["allowed_hosts"]),
        allow_private=row["allow_private"],
        limits=SourceLimits(row["max_connections"], row["read_timeout_seconds"]),
        options=known_options(msgspec.json.decode(row["options"])),
    )
