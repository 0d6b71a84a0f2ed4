"""Packages, a package with its versions, one version of it, one file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import BlockEntry, ExemptionEntry, NewBlock
from services.gateway.api.admin.decided import still_blocked
from services.gateway.api.admin.serving_types import WhoHas
from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.admin.upstream_types import Invalidated, Pin
from services.gateway.api.parameters import package_name
from services.gateway.api.stock import Stock
from services.gateway.api.types import (
    Artifact,
    ArtifactName,
    DependencyItem,
    Dependent,
    Package,
    PackageFile,
    Page,
)
from services.gateway.api.versions import ListedFile, Versions
from services.gateway.pages.asking import Ask, Part, path_of
from services.gateway.pages.layout import address_of
from shared.errors import PackageNotFound
from shared.protocols import PROTOCOLS, protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import purl
from shared.protocols.reading.purls import read_purl

SHOWN = 100  # of a list
FEW = 20  # of a list beside others


@get("/packages")
async def packages(ask: Ask, protocol: str = "", prefix: str = "", cursor: str = "") -> Template:
    """All packages of a protocol, by name."""
    chosen = protocol or PROTOCOLS[0].name
    found, stock = await asyncio.gather(
        ask.get(path_of("packages", chosen), Page[Package], prefix=prefix, limit=SHOWN, cursor=cursor),
        ask.part(ask.get(path_of("stock"), Stock)),
    )
    known = {each.protocol: each.packages for each in (stock.value.items if stock.value is not None else ())}
    return ask.page(
        "packages/packages.html",
        "Packages",
        protocol=chosen,
        protocols=[(each.name, known.get(each.name, 0)) for each in PROTOCOLS],
        exact=stock.value is None or stock.value.exact,
        prefix=prefix,
        cursor=cursor,
        found=found,
    )


@get("/packages/{protocol:str}/{name:path}")
async def package(
    ask: Ask, protocol: str, name: str, version: str = "", cursor: str = ""
) -> Template | Response[bytes]:
    """A package with its versions; with `version` that one and its files."""
    known, project = package_name(protocol, name)
    written = name.strip("/")
    if not known.names.is_project_name(written):
        return await _elsewhere(ask, known, written)
    listed, files, dependents = await asyncio.gather(
        ask.part(
            ask.get(
                path_of("versions", protocol, project), Versions, version=version, limit=SHOWN, cursor=cursor
            )
        ),
        ask.part(ask.get(path_of("packages", protocol, project), Page[PackageFile], limit=SHOWN)),
        ask.part(ask.get(path_of("dependents", protocol, project), Page[Dependent], limit=FEW)),
    )
    if listed.value is None and files.value is None:
        return _unknown(ask, protocol, project, listed)
    stored: list[ListedFile] = []
    if version and listed.value is not None:
        stored, version = listed.value.files, listed.value.items[0].version
    first = next((each for each in stored if each.sha256), None)
    needs = await ask.part(_dependencies(ask, first.sha256)) if first is not None else None
    blocks, exemptions, pins = await _rules(ask, protocol, project)
    shown: dict[str, Any] = {
        "protocol": protocol,
        "name": project,
        "version": version,
        "canonical": known.names.canonical_version(version),  # as blocks have it
        "purl": purl(protocol, project, version),
        "listed": listed,
        "files": files,
        "dependents": dependents,
        "dependencies": needs,
        "needs_of": first.name if first is not None else "",
        "extraction_state": "",
        "installs": known.setup.installs(project, version),
        "blocks": blocks,
        "exemptions": [(each, overruled(each, blocks)) for each in exemptions],
        "pins": pins,
    }
    template = "packages/version.html" if version else "packages/package.html"
    is_unknown = version and listed.problem is not None and listed.problem.status == 404
    status = 404 if is_unknown else 200
    return ask.page(template, f"{project} {version}".strip(), status=status, cursor=cursor, **shown)


async def _elsewhere(ask: Ask, protocol: PackageProxyBase, text: str) -> Response[bytes]:
    """What is no name may be one with a version behind it, as people guess it: its page, where that is known.
    Raises `PackageNotFound`."""
    names = protocol.names
    name, _, version = text.rpartition("/")
    if not names.is_project_name(name):
        name, version = names.named_version(text)
    if version and names.is_project_name(name):
        project = names.canonical_name(name)
        asked = ask.get(path_of("versions", protocol.name, project), Versions, version=version)
        if (found := await ask.part(asked)).value is not None:
            return ask.go(address_of(protocol.name, project, found.value.items[0].version))
    raise PackageNotFound(
        f"{text[:80]!r} cannot be the name of a {protocol.name} package",
        hint="The page of a version is that of its package with ?version= behind it.",
    )


def _unknown(ask: Ask, protocol: str, project: str, listed: Part[Versions]) -> Template:
    known = protocol_named(protocol)
    problem = listed.problem
    assert problem is not None
    return ask.page(
        "packages/unknown.html",
        project,
        status=problem.status,
        protocol=protocol,
        name=project,
        problem=problem,
        installs=known.setup.installs(project, ""),
    )


async def _rules(
    ask: Ask, protocol: str, project: str
) -> tuple[list[BlockEntry], list[ExemptionEntry], list[Pin]]:
    """What operators have said of a package; for them alone."""
    if not ask.reader.is_operator:
        return [], [], []
    blocks, exemptions, pins = await asyncio.gather(
        ask.part(ask.get(path_of("admin", "blocks"), Page[BlockEntry])),
        ask.part(ask.get(path_of("admin", "exemptions"), Page[ExemptionEntry])),
        ask.part(ask.get(path_of("admin", "pins"), Page[Pin], protocol=protocol, prefix=project, limit=FEW)),
    )
    of = purl(protocol, project, "")
    return (
        [each for each in _items(blocks) if (each.protocol, each.name) == (protocol, project)],
        [each for each in _items(exemptions) if each.what == of or each.what.startswith(f"{of}@")],
        [each for each in _items(pins) if each.project == project],
    )


def overruled(exemption: ExemptionEntry, blocks: list[BlockEntry]) -> list[BlockEntry]:
    """The blocks that win over an exemption of the same package."""
    of = read_subject(exemption.what)
    what = NewBlock(exemption.reason, of.protocol, of.project, of.version, of.sha256)
    return still_blocked(blocks, what)


def _items(part: Part[Page[Any]]) -> list[Any]:
    return part.value.items if part.value is not None else []


@get("/files/{sha256:str}")
async def file(ask: Ask, sha256: str) -> Template:
    """One stored file: what it is, where it came from, what it needs, and what needs it."""
    found = await ask.get(path_of("artifacts", sha256), Artifact)
    first = found.names[0]
    version = read_purl(first.purl).version
    dependencies, dependents, listed, statements = await asyncio.gather(
        ask.part(_dependencies(ask, sha256)),
        ask.part(ask.get(path_of("artifacts", sha256, "dependents"), Page[Dependent], limit=FEW)),
        ask.part(_listed(ask, first, version, found.sha256)),
        ask.part(ask.lines(path_of("statements", "sha256", sha256))),
    )
    return ask.page(
        "packages/file.html",
        first.filename,
        file=found,
        first=first,
        version=version,
        listed=listed.value,
        statements=statements,
        dependencies=dependencies,
        dependents=dependents,
    )


def _dependencies(ask: Ask, sha256: str) -> Awaitable[Page[DependencyItem]]:
    return ask.get(path_of("artifacts", sha256, "dependencies"), Page[DependencyItem], limit=SHOWN)


async def _listed(ask: Ask, name: ArtifactName, version: str, sha256: str) -> ListedFile | None:
    """What its version's list, and the rules, say of a file."""
    if not version:
        return None
    told = await ask.get(path_of("versions", name.protocol, name.project), Versions, version=version)
    return next((each for each in told.files if each.sha256 == sha256), None)


@get("/who-has")
async def who_has(ask: Ask, of: str = "", cursor: str = "") -> Template:
    """Who got a package or a file; that it was asked is in the audit."""
    asked = ask.get(path_of("admin", "who-has"), WhoHas, of=of, limit=SHOWN, cursor=cursor)
    found = await ask.part(asked) if of else Part[WhoHas]()
    if not of:
        asked.close()
    return ask.page("packages/who_has.html", "Who has it", of=of, found=found, cursor=cursor)


@post("/packages/{protocol:str}/refresh", status_code=200)
async def refresh(ask: Ask, protocol: str) -> Response[bytes]:
    """Have a package's pages asked for again."""
    form = await ask.form()
    name = form.get("name", "")
    body = {"protocol": protocol, "project": name}
    await ask.send("POST", path_of("admin", "cache", "invalidate"), Invalidated, body)
    return ask.go(address_of(protocol, name), "refreshed")


HANDLERS = [packages, package, file, who_has, refresh]
