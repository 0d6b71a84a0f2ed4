"""Disk, jobs that were given up, the audit."""

from __future__ import annotations

import asyncio

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import AuditEntry
from services.gateway.api.admin.dead_letters import DeadJob, Requeued
from services.gateway.api.admin.disk import DiskReport, WorkerDisk
from services.gateway.api.types import Page, Removed
from services.gateway.pages.asking import Ask, path_of
from shared.queue.jobs import QUEUES

SHOWN = 50


@get("/disk")
async def disk(ask: Ask) -> Template:
    """Used, free, growing, and what is removed when."""
    found = await ask.part(ask.get(path_of("admin", "disk"), DiskReport))
    machines: dict[tuple[str, int], list[WorkerDisk]] = {}
    for each in found.value.disks if found.value is not None else ():
        machines.setdefault((each.instance.rsplit("-", 2)[0], each.total_bytes), []).append(each)
    return ask.page("operations/disk.html", "Disk", found=found, machines=list(machines.values()))


@get("/audit")
async def audit(ask: Ask, cursor: str = "") -> Template:
    """Who changed what."""
    found = await ask.part(ask.get(path_of("admin", "audit"), Page[AuditEntry], limit=SHOWN, cursor=cursor))
    return ask.page("operations/audit.html", "Audit", found=found, cursor=cursor)


@get("/jobs")
async def jobs(ask: Ask) -> Template:
    """Jobs that were given up."""
    asked = (
        ask.part(ask.get(path_of("admin", "queues", queue, "dead"), Page[DeadJob], limit=SHOWN))
        for queue in QUEUES
    )
    found = await asyncio.gather(*asked)
    return ask.page("operations/jobs.html", "Jobs given up", found=dict(zip(QUEUES, found, strict=True)))


@post("/jobs/{queue:str}/{letter:str}/retry", status_code=200)
async def retry(ask: Ask, queue: str, letter: str) -> Response[bytes]:
    """Try it again."""
    await ask.send("POST", path_of("admin", "queues", queue, "dead", letter, "retry"), Requeued)
    return ask.go("jobs", "requeued")


@post("/jobs/{queue:str}/{letter:str}/drop", status_code=200)
async def drop(ask: Ask, queue: str, letter: str) -> Response[bytes]:
    """Forget it."""
    await ask.send("DELETE", path_of("admin", "queues", queue, "dead", letter), Removed)
    return ask.go("jobs", "dropped")


HANDLERS = [disk, audit, jobs, retry, drop]
