"""`LogKeeper`: has the log written once a second, and what it admits stated, by one extractor at a time."""

from __future__ import annotations

import secrets

from services.extractor.transparency.stating import AdmissionStating
from services.extractor.transparency.writer import FellBack, LogWriter, Raced
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.redis.script import Script
from shared.stores import Stores
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import LOG_APPENDED, LOG_FELL_BACK, STATED
from shared.tlog.signing import Signer
from shared.transparency.rows import LogRows

log = get_logger()

TURN_SECONDS = 1.0
LEASE_SECONDS = 5.0
RACED_IN_A_ROW = 10
LEASE = "orchard:tlog:writer"
_SIGNED = "orchard:tlog:signed:{name}"

_HOLD = Script("""
-- KEYS: the lease.  ARGV: whose it is to be, milliseconds.  1: it is.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) <= 2 * tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

_REMEMBER = Script("""
-- KEYS: what is remembered of a log.  ARGV: a size.
local known = tonumber(redis.call('GET', KEYS[1]) or '-1')
if known < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
""")


class LogKeeper:
    """Of one extractor, while open. The lease keeps others from trying; what keeps the log right is its size
    (docs/decisions/0051)."""

    def __init__(self, stores: Stores, signer: Signer, stating: AdmissionStating | None = None) -> None:
        """`stating`: what signs statements of what the log has, after each turn."""
        self._redis: RedisClient = stores.queue_redis
        self._signed = _SIGNED.format(name=signer.key.name)
        self._holder = secrets.token_hex(8)
        self._writer = LogWriter(
            LogRows(stores.database),
            stores.objects,
            signer,
            remembered=self._remembered,
            remember=self._remember,
        )
        self._stating = stating
        self._fell_back = False
        self._raced = 0  # turns in a row that another had written before
        self._turns = Every(TURN_SECONDS, self._turn, name="transparency log", first_seconds=0)

    async def open(self) -> None:
        """Start writing."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop, in the middle of an entry if need be."""
        await self._turns.aclose()

    async def _turn(self) -> None:
        await self.run()
        if self._stating is not None:
            STATED.inc(await self._stating.run(self._holds))

    async def run(self) -> int:
        """Log all that waits, unless another does; how many entries. Raises what the stores raise."""
        if not await self._holds():
            return 0
        try:
            count = await self._writer.run(self._holds)
        except Raced:  # the next turn reads anew
            self._raced += 1
            if self._raced % RACED_IN_A_ROW == 0:  # nobody writes that often: rows of the log are gone
                log.error("log_rows_disagree", turns=self._raced)
            return 0
        except FellBack:
            LOG_FELL_BACK.set(1)
            if not self._fell_back:
                self._fell_back = True
                log.error("log_fell_back", remembered=await self._remembered())
            return 0
        LOG_FELL_BACK.set(0)
        self._fell_back = False
        self._raced = 0
        LOG_APPENDED.inc(count)
        return count

    async def _holds(self) -> bool:
        return bool(await _HOLD.run(self._redis, [LEASE], [self._holder, int(LEASE_SECONDS * 1000)]))

    async def _remembered(self) -> int:
        with self._redis.guard():
            return int(await self._redis.raw.get(self._signed) or -1)

    async def _remember(self, size: int) -> None:
        await _REMEMBER.run(self._redis, [self._signed], [size])
