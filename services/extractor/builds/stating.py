"""`BuildStating`: signs the statements of sealed builds (docs/decisions/0048): what they got, as bills too.

Order: objects → one statement that names all of a build's. What is cut off in between is made again.
"""

from __future__ import annotations

import hashlib

from services.extractor.builds.described import Describing, Unread
from shared.builds.entries import Session, decode_list, decode_session
from shared.errors.passing import ObjectMissing, PassingError
from shared.objects.port import statement_key
from shared.objects.verify import read_whole
from shared.process.periodic import Every
from shared.redis import clock
from shared.statements.platform import platform_of
from shared.statements.provenance import build_statements
from shared.stores import Stores
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import STATED
from shared.tlog.signing import Signer

log = get_logger()

TURN_SECONDS = 2.0
READ_SECONDS = 60.0  # after the seal: files are read by then, or tell nothing
MOST_AT_ONCE = 4  # builds of a turn

# $1: ids that cannot be stated, $2: how many.
UNSTATED = """
SELECT id, session FROM builds b
WHERE NOT EXISTS (SELECT FROM build_statements s WHERE s.build = b.id) AND id <> ALL ($1)
    AND length(id) = 32 -- a lock as a view has a SHA256: nobody recorded it
ORDER BY sealed_at, id LIMIT $2
"""
# $1: build, $2: kinds, $3: objects.
STATE_BUILD = """
INSERT INTO build_statements (build, kind, object)
SELECT id, t.* FROM builds, unnest($2::text[], $3::bytea[]) AS t WHERE id = $1 ON CONFLICT DO NOTHING
"""


class BuildStating:
    """Not for two tasks at once; two processes do no harm: what was named first stands."""

    def __init__(self, stores: Stores, signer: Signer) -> None:
        self._stores = stores
        self._signer = signer
        self._platform = platform_of(signer, stores.settings)
        self._describing = Describing(stores)
        self._unreadable: set[str] = set()  # builds that nothing can be told of, as where a list is lost
        self._turns = Every(TURN_SECONDS, self.run, name="build statements", first_seconds=0)

    async def open(self) -> None:
        """Start looking for builds that have none."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop, in the middle of one if need be."""
        await self._turns.aclose()

    async def run(self) -> None:
        """State some builds that have no statements yet. Raises what the stores raise."""
        rows = await self._stores.database.fetch(UNSTATED, sorted(self._unreadable), MOST_AT_ONCE)
        for row in rows:
            try:
                await self._state(decode_session(bytes(row["session"])))
                STATED.inc()
            except Unread:
                continue
            except Exception as error:  # whatever strangers have put into it, the others are stated
                if isinstance(error, PassingError) and not isinstance(error, ObjectMissing):
                    raise
                self._unreadable.add(str(row["id"]))
                reason = str(error) or type(error).__name__
                log.warning("build_not_stated", build=row["id"], reason=reason)

    async def _state(self, session: Session) -> None:
        stores = self._stores
        listed = decode_list(await read_whole(stores.bare_objects, session.list_key, stores.threads))
        wait = clock.now() - session.sealed_at < READ_SECONDS
        known = await self._describing.known(listed.files, wait=wait)
        made = await stores.threads.run(build_statements, session, listed, known, self._platform)
        objects = []
        for payload in made.values():
            envelope = await stores.threads.run(self._signer.envelope, payload)
            objects.append(hashlib.sha256(envelope).digest())
            await stores.objects.put_bytes(statement_key(objects[-1].hex()), envelope)
        await stores.database.execute(STATE_BUILD, session.id, list(made), objects)
        log.info("build_stated", build=session.id, files=len(listed.files))
