"""The admin API of trust rules: whose identity tokens are exchanged for tokens to read with."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from litestar import delete, get, post

from services.gateway.api.admin import checks
from services.gateway.api.admin.repository import Actor
from services.gateway.api.admin.statements import ADD_TRUST, DROP_TRUST, LIST_TRUST
from services.gateway.api.types import Input, Page, Removed
from shared.access.tokens import is_token_name
from shared.access.trust import TrustRule, own_rules
from shared.access.watcher import AccessWatcher
from shared.errors import Conflict, EntryNotFound, InvalidParameter
from shared.postgres.database import Database
from shared.setting_checks import is_issuer
from shared.settings import Settings

MOST = 200
MOST_CLAIMS = 20
EVERYBODYS = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})
"""Claims that tell nobody from another: whoever signs tokens puts them into each (RFC 7519, 4.1)."""
_WILD = re.compile(r"[*?]|\[[^\]]*\]")  # of fnmatch
LONGEST_TEXT = 256
MOST_KEY_BYTES = 16 * 1024
RULES = "`orchard trust list` shows them."


class NewTrust(Input, frozen=True):
    """A rule to make."""

    name: str
    issuer: str  # as `iss` of its tokens has it
    audience: str
    claims: dict[
        str, tuple[str, ...]
    ]  # each of these claims matches one of its patterns: {"repository": ["corp/*"]}
    protocols: tuple[str, ...] = ()  # that its tokens may read; none: all
    names: tuple[str, ...] = ()  # patterns of packages' names that they may read; none: all
    keys: str = ""  # the issuer's keys (JWKS), where Orchard cannot ask for them; "": by discovery


class TrustEntry(msgspec.Struct, frozen=True):
    """A rule that counts."""

    id: int  # 0: of the settings
    name: str
    issuer: str
    audience: str
    claims: dict[str, tuple[str, ...]]
    protocols: tuple[str, ...]
    names: tuple[str, ...]
    has_keys: bool  # of its own, rather than by discovery
    created_at: float
    created_by: str


@get("/api/v1/admin/trust", summary="Whose identity tokens are exchanged")
async def rules(database: Database, settings: Settings) -> Page[TrustEntry]:
    """All, those of ORCHARD_TRUSTED_CI first, then the oldest; the first that is about a bearer counts."""
    own = [_entry(0, each, 0.0, "ORCHARD_TRUSTED_CI") for each in own_rules(settings)]
    return Page(own + await _entries(database))


@post("/api/v1/admin/trust", summary="Trust an issuer's identity tokens")
async def add_rule(
    database: Database, actor: Actor, access_watcher: AccessWatcher, settings: Settings, data: NewTrust
) -> TrustEntry:
    """In force everywhere within a second."""
    rule = checked(data)
    known = await _entries(database)
    state = access_watcher.state
    others = [*own_rules(settings), *(state.trust if state else ())]
    if any(each.issuer == rule.issuer and each.keys != rule.keys for each in others):
        raise Conflict("keys: another rule has this issuer with other keys", hint=RULES)
    values = msgspec.to_builtins(rule)
    for name in ("id", "name"):
        values.pop(name)
    text = msgspec.json.encode(values).decode()
    row = await database.fetchrow(ADD_TRUST, actor.name, actor.request_id, rule.name, text, MOST)
    if row is None:
        full = len(known) >= MOST
        raise Conflict(
            f"there are {MOST} rules, the most" if full else f"name: there is a rule {rule.name!r} already",
            hint=RULES,
        )
    await access_watcher.refresh()
    return next(each for each in await _entries(database) if each.id == row["id"])


@delete("/api/v1/admin/trust/{rule_id:int}", summary="Trust no more", status_code=200)
async def drop_rule(database: Database, actor: Actor, access_watcher: AccessWatcher, rule_id: int) -> Removed:
    """Tokens that were given by it are refused everywhere within a second."""
    if not await database.fetch(DROP_TRUST, actor.name, actor.request_id, rule_id):
        raise EntryNotFound(f"there is no trust rule {rule_id}", hint=RULES)
    await access_watcher.refresh()
    return Removed(str(rule_id))


def checked(wanted: NewTrust) -> TrustRule:
    """The rule. Raises `InvalidParameter`."""
    if not is_token_name(wanted.name):
        raise InvalidParameter("name: 1 to 64 of A-Z, a-z, 0-9 and ._@+-, starting with one of the first")
    if not is_issuer(wanted.issuer):
        raise InvalidParameter("issuer: expected https://…, exactly as its tokens have it in iss")
    if not _is_text(wanted.audience):
        raise InvalidParameter(f"audience: 1 to {LONGEST_TEXT} printable characters")
    if not 0 < len(wanted.claims) <= MOST_CLAIMS:
        raise InvalidParameter("claims: at least one, or everybody's jobs at this issuer could read here")
    for claim, globs in wanted.claims.items():
        if not _is_text(claim) or not 0 < len(globs) <= MOST_CLAIMS or not all(map(_is_text, globs)):
            raise InvalidParameter("claims: a claim's name, and patterns such as corp/*")
        if claim in EVERYBODYS:
            raise InvalidParameter(
                f"claims: {claim}: every token of this issuer has it; name one that differs"
            )
        if not all(_WILD.sub("", each) for each in globs):
            raise InvalidParameter(f"claims: {claim}: a pattern of wildcards alone lets everybody in")
    if len(wanted.keys.encode()) > MOST_KEY_BYTES or (wanted.keys and not _is_jwks(wanted.keys)):
        raise InvalidParameter(f"keys: expected a JWKS of at most {MOST_KEY_BYTES} bytes")
    return TrustRule(
        "",
        wanted.name,
        wanted.issuer,
        wanted.audience,
        wanted.claims,
        tuple(checks.protocol_of(each).name for each in wanted.protocols),
        checks.names_of(wanted.names, wanted.protocols),
        wanted.keys,
    )


def _is_text(text: str) -> bool:
    return 0 < len(text) <= LONGEST_TEXT and text.isprintable()


def _is_jwks(text: str) -> bool:
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("keys")
    except (msgspec.MsgspecError, RecursionError):
        return False
    return isinstance(found, list) and len(found) > 0 and all(isinstance(each, dict) for each in found)


async def _entries(database: Database) -> list[TrustEntry]:
    return [
        _entry(
            row["id"],
            msgspec.json.decode(row["rule"], type=TrustRule),
            row["created_at"],
            row["created_by"],
        )
        for row in await database.fetch(LIST_TRUST)
    ]


def _entry(number: int, rule: TrustRule, created_at: float, created_by: str) -> TrustEntry:
    return TrustEntry(
        number, rule.name, rule.issuer, rule.audience, rule.claims, rule.protocols, rule.names,
        bool(rule.keys), created_at, created_by,
    )  # fmt: skip


HANDLERS = [rules, add_rule, drop_rule]
