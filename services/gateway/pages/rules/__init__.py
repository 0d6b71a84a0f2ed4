"""The rules in force, why something is held back, exemptions; and trying or applying a policy file."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import ExemptionEntry, MadeExemption
from services.gateway.api.admin.dry_run import DAYS, DryRun
from services.gateway.api.admin.policy import Applied
from services.gateway.api.admin.rules import InForce
from services.gateway.api.types import Page, Removed
from services.gateway.api.why import Answer
from services.gateway.pages.asking import Ask, Part, Refused, path_of

SHOWN = 100  # verdicts of one package


class Tried(msgspec.Struct, frozen=True):
    """A policy file that was sent, and what the API said of it."""

    text: str
    said: Part[Applied]


@get("/policy")
async def policy(ask: Ask, of: str = "", tried: str = "") -> Template:
    """All rules; with `of` what they say of a package, with `tried` what each would have refused lately."""
    return await _shown(ask, of.strip(), tries=bool(tried))


@post("/policy", status_code=200)
async def apply(ask: Ask) -> Template | Response[bytes]:
    """Try a policy file on what was served lately, or put it in force."""
    form = await ask.form()
    text = form.get("policy", "")
    body = {"policy": text, "dry_run": form.get("do") != "apply", "yes": form.get("yes") == "yes"}
    said = await ask.part(ask.send("POST", path_of("admin", "policy"), Applied, body))
    if said.problem is not None and said.problem.status not in (400, 409):
        raise Refused(said.problem)  # not of the file: nobody may apply any
    if said.value is not None and said.value.applied:
        return ask.go("policy", "applied")
    return await _shown(ask, file=Tried(text, said))


async def _shown(ask: Ask, of: str = "", *, tries: bool = False, file: Tried | None = None) -> Template:
    rules, exemptions, why, would_refuse = await asyncio.gather(
        ask.part(ask.get(path_of("admin", "rules"), InForce)),
        ask.part(ask.get(path_of("admin", "exemptions"), Page[ExemptionEntry])),
        ask.part(_why(ask, of)),
        ask.part(_would_refuse(ask, tries)),
    )
    return ask.page(
        "rules/policy.html",
        "Policy",
        of=of,
        why=why,
        most=SHOWN,
        rules=rules,
        exemptions=exemptions,
        would_refuse=would_refuse,
        by_rule=_named(would_refuse.value or []),
        named=_named,
        days=DAYS,
        file=file,
    )


def _named(found: list[DryRun]) -> dict[str, DryRun]:
    return {each.name: each for each in found}


async def _why(ask: Ask, of: str) -> Answer | None:
    return await ask.get(path_of("why"), Answer, of=of) if of else None


async def _would_refuse(ask: Ask, wanted: bool) -> list[DryRun] | None:
    return (await ask.get(path_of("admin", "rules", "dry-run"), Page[DryRun])).items if wanted else None


@post("/exemptions", status_code=200)
async def exempt(ask: Ask) -> Response[bytes]:
    """Exempt what the form names from the rules; back to the page that it came from."""
    form = await ask.form()
    body: dict[str, str | bool] = {name: form.get(name, "") for name in ("of", "reason", "expires")}
    body |= {"yes": True} if form.get("yes") else {}
    made = await ask.send("POST", path_of("admin", "exemptions"), MadeExemption, body)
    return ask.go(ask.back(form, "policy"), "exempted, blocked" if made.refused else "exempted")


@post("/exemptions/{exemption:int}/end", status_code=200)
async def end(ask: Ask, exemption: int) -> Response[bytes]:
    """The rules count again."""
    await ask.send("DELETE", path_of("admin", "exemptions", exemption), Removed)
    return ask.go(ask.back(await ask.form(), "policy"), "ended")


HANDLERS = [policy, apply, exempt, end]
