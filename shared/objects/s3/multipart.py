"""The frame of uploads in parts: begin, complete, abort, and what was never finished (S3 API Reference).

The SDK has these calls for its own `put_object` alone, which holds parts in memory, in threads that cannot be
cancelled; so they are signed and sent as every other request.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

import msgspec
import urllib3
from minio.datatypes import ListMultipartUploadsResult

from shared.errors.passing import StoreUnavailable
from shared.objects.s3.errors import as_error, code_of
from shared.objects.s3.http import S3Http

COMPLETE_SECONDS = 60.0  # joining the parts of a large object takes the server its time
_UPLOAD_ID = re.compile(rb"<UploadId>([^<>&\s]{1,1024})</UploadId>")


class IncompleteUpload(msgspec.Struct, frozen=True):
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    started_at: float  # unix seconds; 0: the server does not say


async def begin_upload(http: S3Http, key: str) -> str:
    """The id of a new upload. Raises `StoreUnavailable`."""
    answer = await http.call("POST", key, query={"uploads": ""}, content_type="application/octet-stream")
    found = _UPLOAD_ID.search(answer.body)
    if found is None:
        raise StoreUnavailable(f"the object store began no upload of {key}")
    return found[1].decode()


async def complete_upload(http: S3Http, key: str, upload_id: str, etags: list[str]) -> None:
    """Join the parts, numbered from 1: the object is visible on return, whole. Raises `StoreUnavailable`."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    answer = await http.call(
        "POST",
        key,
        query={"uploadId": upload_id},
        payload=lambda: body,
        size_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        content_type="application/xml",
        more_seconds=COMPLETE_SECONDS,
    )
    if code := code_of(answer.status, answer.body):  # of a 200: servers answer before they have joined
        raise as_error(f"completing an upload of {key}", answer.status, code)


async def abort_upload(http: S3Http, key: str, upload_id: str) -> None:
    """Forget an upload and its parts; one that is gone already is fine. Raises `StoreUnavailable`."""
    try:
        await http.call("DELETE", key, query={"uploadId": upload_id})
    except StoreUnavailable as error:
        if "NoSuchUpload" not in error.message:
            raise


async def incomplete_uploads(http: S3Http) -> list[IncompleteUpload]:
    """The first thousand uploads that were never finished. Raises `StoreUnavailable`."""
    query = {"uploads": "", "prefix": http.config.name_of(""), "encoding-type": "url"}
    answer = await http.call("GET", "", query=query)
    found = ListMultipartUploadsResult(urllib3.HTTPResponse(body=answer.body))
    return [
        IncompleteUpload(
            http.config.key_of(each.object_name), each.upload_id or "", _seconds(each.initiated_time)
        )
        for each in found.uploads
    ]


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0
