"""What resolvers need of a stored file, read once and found again.

The model lies in the cache beside the extraction; rows do not hold it. A cache that lost it, or holds
one that another version wrote, costs one more reading in the sandbox.
"""

from __future__ import annotations

import msgspec

from services.extractor.sandbox import Sandbox
from shared.cache import CacheService, Category
from shared.errors import CacheUnavailable
from shared.models import Extraction
from shared.protocols.base import PackageProxyBase

_decode = msgspec.msgpack.Decoder(Extraction).decode


async def extraction_with_model(
    protocol: PackageProxyBase,
    filename: str,
    *,
    cache: CacheService,
    sandbox: Sandbox,
    sha256: str,
    object_key: str,
    size_bytes: int,
) -> Extraction:
    """The extraction with a model that this version reads, or one that says why there is none.

    Raises `ObjectMissing`, `StoreUnavailable` and `PassingError` like `Sandbox.extract`.
    """
    try:
        cached = await cache.get(Category.ARTIFACT_DEPENDENCIES, protocol.name, sha256)
    except CacheUnavailable:
        cached = None
    if cached is not None:
        try:
            known = _decode(cached)
        except msgspec.MsgspecError:
            known = Extraction(sha256=sha256, state="pending")
        if protocol.reads_model(known.model):
            return known
    outcome = await sandbox.extract(
        protocol=protocol.name, filename=filename, sha256=sha256, key=object_key, size_bytes=size_bytes
    )
    return outcome.extraction
