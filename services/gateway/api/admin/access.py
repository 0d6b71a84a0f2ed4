"""The admin API: blocks, tokens and the audit."""

from __future__ import annotations

from litestar import delete, get, post

from services.gateway.api.admin import checks
from services.gateway.api.admin.access_types import (
    AuditEntry,
    BlockEntry,
    ExemptionEntry,
    MadeExemption,
    MadeToken,
    NewExemption,
    NewToken,
    Rotation,
    TokenEntry,
    WantedBlock,
)
from services.gateway.api.admin.decided import let_in
from services.gateway.api.admin.repository import Actor, AdminRepository
from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.parameters import DEFAULT_LIMIT, Cursor, Limit, check_limit, page_of, read_cursor
from services.gateway.api.types import Page, Removed
from shared.access.bounds import Bounds
from shared.access.tokens import digest_of, is_token_name, new_token
from shared.access.watcher import AccessWatcher
from shared.errors import InvalidParameter
from shared.policy.rules import OF_UPSTREAM
from shared.redis import clock
from shared.settings import PREFIX
from shared.stores import Stores

_NEWEST = 2**62


@get("/api/v1/admin/blocks", summary="What is blocked")
async def blocks(repository: AdminRepository, access_watcher: AccessWatcher) -> Page[BlockEntry]:
    """All, the oldest first; then those that upstreams made, which have the id 0 and are lifted there."""
    state = access_watcher.state
    theirs = [each for each in state.blocks if each.id == OF_UPSTREAM] if state is not None else []
    return Page(
        [
            *await repository.blocks(),
            *(
                BlockEntry(each.id, each.protocol, each.name, each.version, each.sha256, each.reason, 0.0, "")
                for each in theirs
            ),
        ]
    )


@post("/api/v1/admin/blocks", summary="Block a package, a version or bytes")
async def add_block(
    repository: AdminRepository, actor: Actor, access_watcher: AccessWatcher, data: WantedBlock
) -> BlockEntry:
    """Files answer 403 with the reason, indexes lose the entries: everywhere within a second."""
    made = await repository.add_block(actor, checks.block(data))
    await access_watcher.refresh()
    return made


@delete(
    "/api/v1/admin/blocks/{block_id:int}",
    summary="Lift a block",
    status_code=200,
)
async def drop_block(
    repository: AdminRepository, actor: Actor, access_watcher: AccessWatcher, block_id: int
) -> Removed:
    """What it withheld is served again."""
    await repository.drop_block(actor, block_id)
    await access_watcher.refresh()
    return Removed(str(block_id))


@get("/api/v1/admin/exemptions", summary="What no rule holds back")
async def exemptions(repository: AdminRepository) -> Page[ExemptionEntry]:
    """All, the oldest first; those that are over too."""
    return Page(await repository.exemptions())


@get("/api/v1/admin/exemptions/of", summary="The exemptions of one package, version or file")
async def exemptions_of(repository: AdminRepository, of: str) -> Page[ExemptionEntry]:
    """`of` in any spelling."""
    wanted = read_subject(of)
    return Page([each for each in await repository.exemptions() if read_subject(each.what) == wanted])


@post("/api/v1/admin/exemptions", summary="Exempt a package, a version or bytes from the rules")
async def add_exemption(
    repository: AdminRepository,
    actor: Actor,
    access_watcher: AccessWatcher,
    stores: Stores,
    data: NewExemption,
) -> MadeExemption:
    """Served everywhere within a second, until it expires. What is blocked by hand stays blocked, unless the
    exemption is the more exact of the two (docs/firewall.md): the answer says so. Malware asks for `yes`."""
    what, ends = checks.exemption(data), checks.expiry_of(data.expires.strip(), clock.now())
    return await let_in(repository, actor, access_watcher, stores, what, ends, yes=data.yes)


@delete("/api/v1/admin/exemptions/{exemption_id:int}", summary="End an exemption", status_code=200)
async def drop_exemption(
    repository: AdminRepository, actor: Actor, access_watcher: AccessWatcher, exemption_id: int
) -> Removed:
    """The rules count for it again."""
    await repository.drop_exemption(actor, exemption_id)
    await access_watcher.refresh()
    return Removed(str(exemption_id))


@get("/api/v1/admin/tokens", summary="Tokens that are known here")
async def tokens(repository: AdminRepository) -> Page[TokenEntry]:
    """All, the oldest first; never the tokens themselves."""
    return Page(await repository.tokens())


@post("/api/v1/admin/tokens", summary="Make a token")
async def add_token(
    repository: AdminRepository, actor: Actor, access_watcher: AccessWatcher, data: NewToken
) -> MadeToken:
    """Accepted everywhere within a second. The token is in this answer and nowhere else."""
    if not is_token_name(data.name):
        raise InvalidParameter("name: 1 to 64 of A-Z, a-z, 0-9 and ._@+-, starting with one of the first")
    if data.name.upper().startswith(PREFIX):  # the audit calls those of the environment so
        raise InvalidParameter(f"name: {PREFIX}… are the environment's own tokens; take another name")
    bounds, owner = checks.bounds_of(data, clock.now()), checks.owner(data.owner)
    token = new_token()
    digest = digest_of(token.encode())
    made = await repository.add_token(actor, data.name, data.scope, digest, owner, bounds)
    await access_watcher.refresh()
    return MadeToken(made, data.name, data.scope, token, bounds.expires_at or None)


@post("/api/v1/admin/tokens/{token_id:int}/rotate", summary="Make another token in the place of one")
async def rotate_token(
    repository: AdminRepository, actor: Actor, access_watcher: AccessWatcher, token_id: int, data: Rotation
) -> MadeToken:
    """Name, scope, owner and bounds stay, its end too unless `expires` says another. The old one is refused
    everywhere within a second; the new one is in this answer and nowhere else."""
    known = next((each for each in await repository.tokens() if each.id == token_id), None)
    ends = checks.expiry_of(data.expires.strip(), clock.now())
    if known is not None and not data.expires.strip():
        ends = known.expires_at
        if ends is not None and ends <= clock.now():
            raise InvalidParameter("expires: it is over; say for how long the new one is good")
    bounds = Bounds(ends or 0.0, *((known.networks, known.protocols, known.names) if known else ()))
    token = new_token()
    name, scope = await repository.rotate_token(actor, token_id, digest_of(token.encode()), bounds)
    await access_watcher.refresh()
    return MadeToken(token_id, name, scope, token, ends)


@delete(
    "/api/v1/admin/tokens/{token_id:int}",
    summary="Revoke a token",
    status_code=200,
)
async def drop_token(
    repository: AdminRepository, actor: Actor, access_watcher: AccessWatcher, token_id: int
) -> Removed:
    """Refused everywhere within a second."""
    await repository.drop_token(actor, token_id)
    await access_watcher.refresh()
    return Removed(str(token_id))


@get("/api/v1/admin/audit", summary="Who changed what")
async def audit(
    repository: AdminRepository, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[AuditEntry]:
    """The newest first."""
    after = read_cursor(cursor, int)
    start = after[0] if after is not None and after[0] < _NEWEST else _NEWEST
    return page_of(await repository.audit(start, check_limit(limit) + 1), limit)


HANDLERS = [
    blocks,
    add_block,
    drop_block,
    exemptions,
    exemptions_of,
    add_exemption,
    drop_exemption,
    tokens,
    add_token,
    rotate_token,
    drop_token,
    audit,
]
