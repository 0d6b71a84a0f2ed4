"""When files were last used: gateways report it to the queue Redis, the sweep copies it into the database.

Coarse on purpose, for eviction thinks in days: a gateway names a file once a day, many in one command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.postgres.database import Database
from shared.redis.client import RedisClient
from shared.redis.script import Script

KEY = "orchard:artifact_uses"  # sorted set: digest → unix seconds, of the last hours
BATCH = 200  # of one statement: each row is its own page of the index

# Rows sorted by key, so that two sweeps cannot deadlock; what no artifact row names any more is left out.
UPSERT = """
INSERT INTO artifact_uses (sha256, used_at)
SELECT u.sha256, to_timestamp(u.at) FROM unnest($1::bytea[], $2::float8[]) AS u(sha256, at)
JOIN artifacts a ON a.sha256 = u.sha256 ORDER BY u.sha256
ON CONFLICT (sha256) DO UPDATE SET used_at = greatest(artifact_uses.used_at, excluded.used_at)
"""
READ = "SELECT sha256, extract(epoch FROM used_at)::float8 AS at FROM artifact_uses WHERE sha256 = ANY($1)"

_FORGET = Script("""
for i = 1, #ARGV, 2 do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '-1') <= tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
""")


async def report_uses(redis: RedisClient, uses: Mapping[bytes, float]) -> None:
    """Digests → unix seconds of their use. Raises `QueueUnavailable`."""
    if uses:
        with redis.guard():
            await redis.raw.zadd(KEY, dict(uses), gt=True)


async def reported_use(redis: RedisClient, sha256: bytes) -> float:
    """The last reported use that is not in the database yet, in unix seconds; 0 if there is none.

    Raises `QueueUnavailable`.
    """
    with redis.guard():
        return float(await redis.raw.zscore(KEY, sha256) or 0.0)


async def keep_uses(redis: RedisClient, database: Database) -> int:
    """Copy all reported uses into the database; returns how many. Raises `QueueUnavailable`,
    `DatabaseUnavailable`."""
    kept = 0
    while True:
        with redis.guard():
            reported = await redis.raw.zrange(KEY, 0, BATCH - 1, withscores=True)
        if not reported:
            return kept
        await database.execute(UPSERT, [each for each, _ in reported], [at for _, at in reported])
        # Those that were reported again meanwhile have a later time: they are copied the next time.
        await _FORGET.run(redis, [KEY], [part for digest, at in reported for part in (digest, repr(at))])
        kept += len(reported)


async def read_uses(database: Database, digests: Sequence[bytes]) -> dict[bytes, float]:
    """Of these digests those that are known to have been used, and when. Raises `DatabaseUnavailable`."""
    return {bytes(row["sha256"]): row["at"] for row in await database.fetch(READ, list(digests))}
