"""The object store under one name: the port, its keys, and the stores that fulfil it.

`FileObjectStore` keeps objects in folders; an S3 store fulfils the same port and passes the same
suite (tests/shared/clients/test_objects.py).
"""

from shared.clients.file_objects import FileObjectStore
from shared.clients.object_port import (
    ARTIFACTS,
    DOCUMENTS,
    STREAM_CHUNK_BYTES,
    VARIANTS,
    ObjectStat,
    ObjectStore,
    artifact_key,
    document_key,
    split_key,
    variant_key,
)

__all__ = [
    "ARTIFACTS",
    "DOCUMENTS",
    "STREAM_CHUNK_BYTES",
    "VARIANTS",
    "FileObjectStore",
    "ObjectStat",
    "ObjectStore",
    "artifact_key",
    "document_key",
    "split_key",
    "variant_key",
]
