"""Sessions in the queue Redis: a hash each, of its state and its entries, while it is recorded.

What is put is there before the answer goes out, and after `close` nothing more can be: one script each, so
that no gateway can be late.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.builds.entries import Entry, Session, decode_entry, decode_session, encode
from shared.redis.client import RedisClient
from shared.redis.script import Script
from shared.redis.types import SCAN_COUNT

PREFIX: Final = "orchard:build:"
MOST_ENTRIES: Final = 40_000  # a jar and its checksum are two
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of one session's entries. The queue Redis evicts nothing: what grew without a bound would end every job."""
MOST_OPEN: Final = 64
MOST_OF_ONE: Final = 16
"""Of one token, or of one address without one: no stranger keeps the others from recording."""
NEW_SECONDS: Final = 86_400
"""So long one is kept that nobody has added to yet."""
REMOVED_SECONDS: Final = 3_600
"""So long it is known that one was removed: no seal takes longer."""
KEEP_SECONDS: Final = 7 * 86_400
"""So long a session is kept that nobody adds to; a sealed one is a row."""

OPEN: Final = "orchard:builds"  # a sorted set: open sessions by when they end

# The session itself is the field "session", "open" is 1 while it records, "bytes" are those of all entries,
# "entries" how many they are; an entry's field begins with "e:", one that names an object in use with "o:".
# Of a removed one there is "removed" alone.
_START = Script("""
-- KEYS: the session, the open ones, the client's ids.  ARGV: session, id, unix seconds, seconds to keep, most
-- open, most of one client.  1: it is there; 0: too many; -1: too many of this client.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])
for _, id in ipairs(redis.call('SMEMBERS', KEYS[3])) do
    if not redis.call('ZSCORE', KEYS[2], id) then redis.call('SREM', KEYS[3], id) end
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then return 0 end
if redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[6]) then return -1 end
redis.call('ZADD', KEYS[2], ARGV[3] + ARGV[4], ARGV[2])
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('EXPIRE', KEYS[3], 2592000)  -- longer than any that nobody adds to
redis.call('HSET', KEYS[1], 'session', ARGV[1], 'open', '1', 'bytes', '0')
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
""")

_PUT = Script("""
-- KEYS: the session, the open ones.  ARGV: field, entry, object or '', most entries, most bytes, seconds
-- to keep, id, unix seconds.  1: it is there; 0: it records no more; -1: there is none; -2: it is full.
if redis.call('HEXISTS', KEYS[1], 'session') == 0 then return -1 end
if redis.call('HGET', KEYS[1], 'open') ~= '1' then return 0 end
local old = redis.call('HSTRLEN', KEYS[1], ARGV[1])
local bytes = tonumber(redis.call('HGET', KEYS[1], 'bytes')) + #ARGV[2] - old
if bytes > tonumber(ARGV[5]) then return -2 end
local most = tonumber(ARGV[4])
if old == 0 and tonumber(redis.call('HGET', KEYS[1], 'entries') or 0) >= most then return -2 end
if redis.call('HLEN', KEYS[1]) >= 2 * most + 4 then return -2 end  -- one that changes names ever more
if old == 0 then redis.call('HINCRBY', KEYS[1], 'entries', 1) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'bytes', bytes)
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'o:' .. ARGV[3], '') end
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[2], ARGV[8] + ARGV[6], ARGV[7])
return 1
""")

_CLOSE = Script("""
-- KEYS: the session.  0: there is none.
if redis.call('HEXISTS', KEYS[1], 'session') == 0 then return 0 end
if redis.call('HEXISTS', KEYS[1], 'open') == 1 then redis.call('HSET', KEYS[1], 'open', '0') end
return 1
""")

_FINISH = Script("""
-- KEYS: the session, the open ones.  ARGV: session, id, seconds to keep.  0: it was removed meanwhile.
if redis.call('HEXISTS', KEYS[1], 'removed') == 1 then return 0 end
redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[1], 'session', ARGV[1])
return redis.call('EXPIRE', KEYS[1], ARGV[3])
""")

_DROP = Script("""
-- KEYS: the session, the open ones.  ARGV: id, seconds to keep.  1: there was one.
local had = redis.call('HEXISTS', KEYS[1], 'session')
redis.call('UNLINK', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'removed', '1')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return had
""")

STARTED, MANY, MANY_OF_ONE = 1, 0, -1
"""What `Sessions.start` comes to."""

PUT, CLOSED, GONE, FULL = 1, 0, -1, -2
"""What `Sessions.put` comes to."""


class Sessions:
    """Every method raises `QueueUnavailable`, those that read also `InvalidData`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def start(self, session: Session, now: float, client: str) -> int:
        """`STARTED`, or `MANY` or `MANY_OF_ONE` where too many are open. `client`: whose it is."""
        keys = [PREFIX + session.id, OPEN, f"{OPEN}:of:{client}"]
        args = [encode(session), session.id, int(now), NEW_SECONDS, MOST_OPEN, MOST_OF_ONE]
        return int(await _START.run(self._redis, keys, args))

    async def read(self, id: str) -> Session | None:
        """The session as Redis has it; None: it has none."""
        raw, is_open = await self._redis.command("HMGET", PREFIX + id, "session", "open")
        if raw is None:
            return None
        session = decode_session(raw)
        if is_open is None or is_open == b"1":
            return session
        return msgspec.structs.replace(session, state="closed")

    async def put(self, id: str, entry: Entry, now: float, object_key: str = "") -> int:
        """Add an entry, in the place of one of the same key. `object_key`: of an object that it names."""
        args: list[Any] = [f"e:{entry.key}", encode(entry), object_key]
        args += [MOST_ENTRIES, MOST_BYTES, KEEP_SECONDS, id, int(now)]
        return int(await _PUT.run(self._redis, [PREFIX + id, OPEN], args))

    async def close(self, id: str) -> bool:
        """Nothing can be added from now on. False: there is no such session."""
        return bool(await _CLOSE.run(self._redis, [PREFIX + id], []))

    async def entries(self, id: str) -> list[Entry]:
        """All entries, in the order of their keys."""
        flat = await self._redis.command("HGETALL", PREFIX + id)
        pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        return [decode_entry(value) for field, value in sorted(pairs) if field.startswith(b"e:")]

    async def finish(self, session: Session) -> bool:
        """It is sealed: what is left here is where its list lies. False: it was removed meanwhile."""
        args = [encode(session), session.id, KEEP_SECONDS]
        return bool(await _FINISH.run(self._redis, [PREFIX + session.id, OPEN], args))

    async def drop(self, id: str) -> bool:
        """Forget it, with all that it holds; for an hour nobody can seal it. False: there was none."""
        return bool(await _DROP.run(self._redis, [PREFIX + id, OPEN], [id, REMOVED_SECONDS]))

    async def was_removed(self, id: str) -> bool:
        """Whether it was dropped in the last hour."""
        return bool(await self._redis.command("HEXISTS", PREFIX + id, "removed"))

    async def open_ids(self) -> list[str]:
        """Of those that are not sealed yet."""
        return [each.decode() for each in await self._redis.command("ZRANGE", OPEN, 0, -1)]

    async def objects_in_use(self) -> set[str]:
        """Keys of objects that the entries of open sessions name."""
        found: set[str] = set()
        async for names in self._redis.scan(f"{PREFIX}*", SCAN_COUNT):
            for name in names:
                fields = await self._redis.command("HKEYS", name)
                found.update(field[2:].decode() for field in fields if field.startswith(b"o:"))
        return found
