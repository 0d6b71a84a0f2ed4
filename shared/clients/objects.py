"""The object store under one name: the port, its keys, and the stores that fulfil it.

`FileObjectStore` keeps objects in folders, `S3ObjectStore` in a bucket; both pass one suite
(tests/shared/clients/test_objects.py).
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
)
from shared.clients.s3_config import S3Config
from shared.clients.s3_objects import S3ObjectStore

__all__ = [
    "ARTIFACTS",
    "DOCUMENTS",
    "STREAM_CHUNK_BYTES",
    "VARIANTS",
    "FileObjectStore",
    "ObjectStat",
    "ObjectStore",
    "S3Config",
    "S3ObjectStore",
    "artifact_key",
    "document_key",
    "split_key",
]
