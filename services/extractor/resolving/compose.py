"""The part of an extractor that resolves: handlers of a queue of their own, so that neither part starves."""

from __future__ import annotations

from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.resolving.documents import DocumentLoader
from services.extractor.resolving.ensure import EnsureHandler
from services.extractor.resolving.ensure_builds import BuildFinder
from services.extractor.resolving.ensure_fetching import EnsureFetching
from services.extractor.resolving.ensure_locking import Locksmith
from services.extractor.resolving.pin_finding import PinFinder
from services.extractor.resolving.resolve import ResolveHandler
from services.extractor.resolving.stored import StoredFiles
from shared.access.watcher import AccessWatcher
from shared.judging.kept import BlockedGraphs
from shared.policy.rules import rules_of
from shared.process.resources import Resources
from shared.protocols import PROTOCOLS, attests, named_alike, version_key
from shared.queue.context import Handler
from shared.queue.jobs import Ensure, Job, Resolve
from shared.queue.wakeups import Wakeups
from shared.resolving.answers import KeptLocks, KeptResolutions
from shared.stores import Stores


def access_watcher(stores: Stores) -> AccessWatcher:
    """The policy, for all of an extractor that asks it."""
    return AccessWatcher(
        stores.database,
        stores.queue_redis,
        named=named_alike,
        order=version_key,
        attests=attests,
        own_rules=rules_of(stores.settings),
    )


async def resolving_handlers(
    resources: Resources, stores: Stores, sandbox: Sandbox, access: AccessWatcher
) -> dict[type[Job], Handler]:
    """For the worker of the queue `resolve`."""
    listener = await resources.open("job events", stores.queue.subscribe())
    wakeups = Wakeups(stores.queue, listener)
    resources.add("wake-ups", wakeups.aclose)
    resolutions, stored = KeptResolutions(stores.database, stores.cache), StoredFiles(stores.database)
    protocols = {protocol.name: protocol for protocol in PROTOCOLS}
    handler = ResolveHandler(
        resolutions=resolutions,
        stored=stored,
        loader=DocumentLoader(
            cache=stores.cache,
            artifacts=stores.artifacts,
            stored=stored,
            store=stores.objects,
            queue=stores.queue,
            threads=stores.threads,
            sandbox=sandbox,
            access=access,
        ),
        queue=stores.queue,
        wakeups=wakeups,
        threads=stores.threads,
        protocols=protocols,
    )
    ensuring = EnsureHandler(
        locks=KeptLocks(stores.database, stores.cache),
        resolutions=resolutions,
        fetching=EnsureFetching(
            artifacts=stores.artifacts,
            stored=stored,
            queue=stores.queue,
            queue_redis=stores.queue_redis,
            store=stores.objects,
            wakeups=wakeups,
            protocols=protocols,
        ),
        locksmith=Locksmith(
            stored=stored, store=stores.objects, threads=stores.threads, access=access, protocols=protocols
        ),
        finder=PinFinder(
            stored=stored,
            store=stores.objects,
            threads=stores.threads,
            queue=stores.queue,
            wakeups=wakeups,
            access=access,
            protocols=protocols,
        ),
        builds=BuildFinder(sandbox=sandbox, protocols=protocols),
        graphs=BlockedGraphs(access, stores, stores.threads),
        queue=stores.queue,
        wakeups=wakeups,
        protocols=protocols,
    )
    return {Resolve: handler, Ensure: ensuring}
