"""What a run of fetching a file works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.fetcher.files.abandoned import Bounds
from services.fetcher.files.ages import Ages
from services.fetcher.files.direct import DirectFiles
from services.fetcher.files.early_metadata import EarlyMetadata
from services.fetcher.files.live import LiveDownloads
from services.fetcher.files.metadata_fallback import MetadataFallback
from services.fetcher.files.refused import RefusedBytes
from services.fetcher.files.room import RelayRoom
from services.fetcher.files.sealing import Sealer
from services.fetcher.files.signatures import Signatures
from services.fetcher.sources.upstreams import Upstreams
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.models import StoredFile
from shared.objects.port import ObjectStore
from shared.process.disk import DiskFloor
from shared.process.threads import BoundedThreads
from shared.queue.jobs import FetchArtifact
from shared.queue.producer import JobQueue


@dataclass(frozen=True)
class ArtifactTools:
    """What downloading, verifying and storing files needs; one per process."""

    upstreams: Upstreams
    direct: DirectFiles
    live: LiveDownloads
    sealer: Sealer
    fallback: MetadataFallback
    artifacts: ArtifactRepository
    objects: ObjectStore
    queue: JobQueue
    threads: BoundedThreads
    spool_folder: Path
    access: AccessWatcher
    floor: DiskFloor
    room: RelayRoom
    refused: RefusedBytes
    max_bytes: int
    abandoned: Bounds
    early: EarlyMetadata
    came: Callable[[FetchArtifact, StoredFile, int], None]  # a file is there, of the source of this id
    ages: Ages
    signatures: Signatures
