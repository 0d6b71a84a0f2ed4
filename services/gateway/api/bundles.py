"""Bundles: a sealed build or a kept lock as one file (docs/bundles.md)."""

from __future__ import annotations

from typing import Annotated

from litestar import post
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream
from msgspec import Meta

from services.gateway.api.builds import checked_or_lock
from services.gateway.api.types import Input
from services.gateway.builds.bundling import Bundling, Note
from services.gateway.builds.lock_views import LockViews
from shared.bundles.form import MOST_OBJECTS
from shared.digests import is_sha256
from shared.errors import InvalidParameter
from shared.protocols.reading.views import is_lock_key

MEDIA_TYPE = "application/vnd.orchard.bundle"
_BODY = ResponseSpec(bytes, description="The bundle", media_type=MEDIA_TYPE)


class Wanted(Input, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/bundles`."""

    build: str  # id of a sealed build, or key of a kept lock
    have: tuple[str, ...] = ()  # SHA256s of objects that are left out: who imports it has them
    since: Annotated[int, Meta(ge=0, le=1 << 62)] = 0  # entries that who imports it has seen; 0: none


@post(
    "/api/v1/bundles",
    summary="A sealed build, or a kept lock, as one signed file",
    tags=["builds"],
    status_code=200,
    responses={200: _BODY},
)
async def bundle(
    data: Wanted, lock_views: LockViews, bundling: Bundling, note_bundled: Note, request_id: str
) -> Stream:
    """All that it is made of, for an Orchard without a network; a transfer that breaks off is no bundle."""
    id = checked_or_lock(data.build)
    if is_lock_key(id):
        await lock_views.read(id, request_id)
    if len(data.have) > MOST_OBJECTS or not all(map(is_sha256, data.have)):
        raise InvalidParameter(f"have: expected at most {MOST_OBJECTS} SHA256s in lower-case hex")
    made = await bundling.bundle(id, set(data.have), data.since, request_id, note_bundled)
    name = f'attachment; filename="{id}.bundle"'
    headers = {"content-length": str(made.size_bytes), "content-disposition": name}
    return Stream(made.body, media_type=MEDIA_TYPE, headers=headers)


HANDLERS = [bundle]
