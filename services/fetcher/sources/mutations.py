"""An upstream that sends other bytes, or tells another digest, under the name of a sealed file."""

from __future__ import annotations

from shared.artifacts.event_kinds import EventKind
from shared.artifacts.repository import ArtifactRepository
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import UPSTREAM_MUTATED

log = get_logger()

MUTATED: EventKind = "upstream_mutated"


async def report_mutation(
    artifacts: ArtifactRepository, protocol: str, project: str, filename: str, **detail: str
) -> None:
    """Count, log and record it; the sealed file stays. `detail`: sealed_sha256, and of what is known
    upstream_sha256 and source (a name). Raises `DatabaseUnavailable`."""
    UPSTREAM_MUTATED.labels(protocol).inc()
    log.warning(MUTATED, project=project, filename=filename, **detail)
    await artifacts.record_event(MUTATED, protocol, project, filename, detail)
