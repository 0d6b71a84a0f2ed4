"""`AccessRepository`: tokens and policy as one value with a revision, and its copy in the queue Redis.

The copy is for processes that start while PostgreSQL is away. It lies in the queue Redis because that
one never evicts; it holds digests, not tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.access.bounds import Bounds
from shared.access.trust import TrustRule
from shared.errors import OrchardError
from shared.models import FORMAT, MOST_REVISION
from shared.policy.named import NamedRule
from shared.policy.rules import Block, Exemption, Rules, lost, put_in_force
from shared.postgres.connection import session
from shared.postgres.database import Database
from shared.redis.client import RedisClient
from shared.redis.script import Script

CHANNEL = "orchard_access"
KEY = "orchard:access"

# Those made here come last: of two about the same thing the reason that is told is ours.
_LOAD = """
SELECT json_build_object(
    'format', $1::int,
    'revision', coalesce((SELECT revision FROM access_revision), 0),
    'tokens', coalesce((SELECT json_agg(json_build_object(
        'id', id, 'name', name, 'scope', scope, 'digest', encode(digest, 'hex'), 'bounds', bounds))
        FROM access_tokens), '[]'),
    'installation', coalesce((SELECT id FROM installation), ''),
    'blocks', coalesce((SELECT json_agg(json_build_object(
        'id', id, 'protocol', protocol, 'name', name, 'version', version, 'reason', reason,
        'sha256', sha256) ORDER BY own, id)
        FROM (
            SELECT true AS own, id, protocol, name, version, reason,
                coalesce(encode(sha256, 'hex'), '') AS sha256
            FROM blocks
            UNION ALL
            SELECT false, 0, coalesce(t.protocol, ''), coalesce(t.name, ''), coalesce(t.version, ''),
                'upstream ' || s.name || ': ' || t.reason, coalesce(t.sha256, '')
            FROM upstream_blocks u JOIN upstream_sources s ON s.id = u.source_id AND s.url = u.url,
                jsonb_to_recordset(u.counting) AS t(
                    protocol text, name text, version text, reason text, sha256 text)
        ) known), '[]'),
    'rules', (SELECT rules FROM policy),
    'trust', coalesce((SELECT json_agg(rule || jsonb_build_object('id', id::text, 'name', name) ORDER BY id)
        FROM trust_rules), '[]'),
    'policy_rules', coalesce((SELECT json_agg(rule ORDER BY position) FROM policy_rules), '[]'),
    'exemptions', coalesce((SELECT json_agg(json_build_object(
        'id', id, 'protocol', protocol, 'name', name, 'version', version, 'reason', reason,
        'sha256', coalesce(encode(sha256, 'hex'), ''),
        'expires_at', coalesce(extract(epoch FROM expires_at), 0)::float8,
        'covers_malware', covers_malware) ORDER BY id)
        FROM exemptions WHERE expires_at IS NULL OR expires_at > now()), '[]')
)::text AS state
"""

_RULES = "SELECT rules::text AS rules FROM policy FOR UPDATE"
_PUT_RULES = """
INSERT INTO policy AS p (rules) VALUES ($1::jsonb)
ON CONFLICT (one) DO UPDATE SET rules = excluded.rules, changed_at = now()
"""

_WEAKENED = """
INSERT INTO events AS e (kind, protocol, project, filename, detail, detail_digest)
VALUES ('rules_weakened', '', '', '', $1::text::jsonb, sha256(convert_to($1::text, 'UTF8')))
ON CONFLICT (kind, protocol, project, filename, detail_digest)
DO UPDATE SET count = e.count + 1, last_at = now()
"""

_KEEP = Script("""
-- KEYS: the copy.  ARGV: revision, the copy, the highest revision that can be.  A newer one stays.
local known = tonumber(redis.call('HGET', KEYS[1], 'revision') or '-1') or -1
if tonumber(ARGV[1]) > known or not (known <= tonumber(ARGV[3])) then -- garbage, or NaN
  known = -1
  redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'state', ARGV[2])
end
return known
""")

# Rows restored from a backup have an old number. Notified, as any change of the revision is.
_LIFT = """
WITH lifted AS (
    INSERT INTO access_revision AS current (one, revision) VALUES (true, $1::bigint + 1)
    ON CONFLICT (one) DO UPDATE SET revision = excluded.revision WHERE current.revision < $1
    RETURNING 1
)
SELECT pg_notify('orchard_access', '') FROM lifted
"""

_TOUCH = """
UPDATE access_tokens SET last_used_at = now()
WHERE id = ANY ($1::bigint[]) AND (last_used_at IS NULL OR last_used_at < now() - interval '5 minutes')
"""


class KnownToken(msgspec.Struct, frozen=True):
    """What a gateway needs of a token: never the token itself."""

    id: int  # 0: the one of ORCHARD_ADMIN_TOKEN, which has no row
    name: str
    scope: str  # "read" or "admin"
    digest: str  # hex; of one with bounds: `bounded_digest` of it
    bounds: Bounds | None = None


class AccessState(msgspec.Struct, frozen=True):
    """All tokens and all of the policy at one revision."""

    format: int
    revision: int
    tokens: tuple[KnownToken, ...] = ()
    blocks: tuple[Block, ...] = ()
    rules: Rules | None = None  # None: nobody has written any
    policy_rules: tuple[NamedRule, ...] = ()  # of the policy file, in its order
    exemptions: tuple[Exemption, ...] = ()  # that were not over when this was read
    trust: tuple[TrustRule, ...] = ()  # the oldest first
    installation: str = ""  # random; "" where this was written before there was one


_decode = msgspec.json.Decoder(AccessState).decode
_decode_rules = msgspec.json.Decoder(Rules).decode


class AccessRepository:
    """Reads the state; each method says what it raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> AccessState:
        """From the rows, one statement. Raises `DatabaseUnavailable`."""
        row = await self._database.fetchrow(_LOAD, FORMAT)
        assert row is not None
        return _decode(row["state"])

    async def revision(self) -> int:
        """The number that every change raises; 0 if there never was one. Raises `DatabaseUnavailable`."""
        row = await self._database.fetchrow("SELECT revision FROM access_revision")
        return 0 if row is None else int(row["revision"])

    async def lift(self, known: int) -> bool:
        """Raise the revision above `known`, which was read before, if it went back since. Whether it had.
        Raises `DatabaseUnavailable`."""
        return bool(await self._database.fetch(_LIFT, known))

    async def touch(self, ids: list[int]) -> None:
        """Record that these tokens were used just now. Raises `DatabaseUnavailable`."""
        await self._database.execute(_TOUCH, ids)


async def write_rules(url: str, wanted: Rules, now: float) -> list[str] | None:
    """Put the rules of the settings in force (`now` in unix seconds); None: they are; else what they ask less
    than before, which is an event, too. For the step that runs once, before services start. Raises
    `DatabaseUnavailable`."""
    async with session(url) as database, database.transaction():
        rows = await database.fetch(_RULES)
        standing = _decode_rules(rows[0]["rules"]) if rows else None
        if standing is not None and wanted.is_as(standing):
            return None
        rules = put_in_force(wanted, standing, now)
        await database.fetch(_PUT_RULES, msgspec.json.encode(rules).decode())
        less = [] if standing is None else lost(wanted, standing)
        if less:
            await database.fetch(_WEAKENED, msgspec.json.encode({"less": less}).decode())
        return less


async def read_copy(redis: RedisClient) -> AccessState | None:
    """The copy in the queue Redis; None if there is none that this version can read, or no answer."""
    try:
        with redis.guard():
            raw = await redis.command("HGET", KEY, "state")
        state = None if raw is None else _decode(raw)
    except (OrchardError, msgspec.MsgspecError):
        return None
    if state is None or state.format != FORMAT or state.revision > MOST_REVISION:
        return None
    return state


async def keep_copy(redis: RedisClient, state: AccessState) -> int:
    """Write the copy unless a newer one is there; the revision of what stood there, -1 for none.

    Raises the client's error.
    """
    return int(await _KEEP.run(redis, [KEY], [state.revision, msgspec.json.encode(state), MOST_REVISION]))


def by_digest(state: AccessState) -> Mapping[bytes, KnownToken]:
    """Tokens by the digest under which one that is presented is looked for."""
    return {bytes.fromhex(token.digest): token for token in state.tokens}
