"""`orchard status`: health, stores, workers, queues and, with the operator's token, the upstreams."""

from __future__ import annotations

import argparse
from typing import Any

from services.cli.commands.upstreams import items, name_of, state
from services.cli.errors import CommandFailed, Exit, NotOffered, NotPermitted
from services.cli.output import Output, table
from services.cli.server import Server, connect

_EXITS = {"ok": Exit.DONE, "degraded": Exit.UNFINISHED, "down": Exit.FAILED}


def run(options: argparse.Namespace, output: Output) -> Exit:
    """The exit code says the state: 0 ok, 6 degraded or an upstream that is left alone, 1 down."""
    server = connect(options)
    answer = server.request("GET", "/health")
    if answer.status == 404 and server.target.admin_token:  # proxies in front shut it
        answer = server.request("GET", "/api/v1/admin/health", admin=True)
    report = answer.json() if answer.status in (200, 503) else None
    if not isinstance(report, dict) or "status" not in report:
        if answer.status == 404:
            raise NotOffered(
                f"{server.target.base}/health is shut: what stands in front of this Orchard keeps it inside",
                "Set ORCHARD_ADMIN_TOKEN to an operator's token, or ask on the machine that runs it.",
                status=404,
            )
        server.check(answer, offers="health")
        raise CommandFailed(f"{server.target.base} does not answer like an Orchard", "Check ORCHARD_URL.")
    queues = _optional(server, "/api/v1/queues")
    upstreams = _optional(server, "/api/v1/admin/upstreams", admin=True)
    value = {"url": server.target.base, "health": report}
    if queues is not None:
        value["queues"] = queues
    if upstreams is not None:
        value["upstreams"] = upstreams
    output.result(value, _text(server, report, queues, upstreams))
    code = _EXITS.get(str(report["status"]), Exit.FAILED)
    return Exit.UNFINISHED if code is Exit.DONE and _failing(upstreams) else code


def _failing(upstreams: Any) -> list[str]:
    """The names of the upstreams that are left alone for now."""
    return [name_of(each) for each in items(upstreams) if each.get("enabled") and each.get("failing")]


def _optional(server: Server, path: str, *, admin: bool = False) -> Any:
    """What an address says, None where it is not offered or not for us."""
    if admin and not server.target.admin_token:
        return None
    try:
        return server.call("GET", path, offers=path, admin=admin)
    except (NotOffered, NotPermitted):
        return None
    except CommandFailed:
        return None  # a store is away: the report itself says so


def _text(server: Server, report: dict[str, Any], queues: Any, upstreams: Any) -> str:
    version = report.get("version")
    states = _states(report, upstreams)
    parts = [f"Orchard{f' {version}' if version else ''} at {server.target.base}/: {states}"]
    parts += [f"  ! {problem}" for problem in report.get("problems", [])]
    stores = [
        (title, _state(report[name]), _ping(report[name]), _pool(report[name].get("pool")))
        for title, name in (
            ("PostgreSQL", "database"),
            ("Redis, cache", "redis_cache"),
            ("Redis, queue", "redis_queue"),
        )
        if isinstance(report.get(name), dict)
    ]
    if stores:
        parts += ["", table(stores, ("store", "state", "ping", "in use"))]
    workers = [
        (
            service,
            str(len(each)),
            str(sum(1 for one in each if one.get("draining"))),
            " ".join(sorted({str(one.get("version", "")) for one in each} - {""})) or "-",
        )
        for service, each in sorted(report.get("workers", {}).items())
    ]
    if workers:
        parts += ["", table(workers, ("workers", "running", "draining", "version"))]
        connections, threads = _pool(report.get("http_pool")), _pool(report.get("thread_pool"))
        parts.append(f"upstream connections in use: {connections}, threads: {threads}")
    parts += _disks(report)
    parts += _sandboxes(report)
    parts += _ledger(report)
    parts += _queues(report, queues)
    rows = _upstream_rows(upstreams)
    if rows:
        parts += ["", table(rows, ("protocol", "upstream", "state", "address"))]
    return "\n".join(parts)


def _states(report: dict[str, Any], upstreams: Any) -> str:
    states = [str(report["status"])]
    if failing := _failing(upstreams):
        states.append(f"upstreams failing: {', '.join(failing)}")
    if report.get("offline"):
        states.append("offline, no upstream is asked")
    return "; ".join(states)


def _disks(report: dict[str, Any]) -> list[str]:
    """Where files lie: what is free, and below what they are not stored."""
    disks = {
        (disk["free_bytes"] // 10**6, disk["total_bytes"] // 10**6, disk["floor_bytes"] // 10**6)
        for worker in report.get("workers", {}).get("fetcher", [])
        if isinstance(disk := worker.get("disk"), dict)
    }
    return [
        f"disk: {free:,} MB free of {total:,} MB; files are not stored below {floor:,} MB"
        for free, total, floor in sorted(disks)
    ]


def _sandboxes(report: dict[str, Any]) -> list[str]:
    """What does not confine those that open archives."""
    lacking = {
        str(name)
        for worker in report.get("workers", {}).get("extractor", [])
        for name in worker.get("sandbox_lacks", [])
    }
    return [f"sandbox: without {', '.join(sorted(lacking))} (docs/operations.md)"] if lacking else []


def _ledger(report: dict[str, Any]) -> list[str]:
    """What is on its way into the ledger, where there is one and something to say."""
    ledger = report.get("ledger")
    if not isinstance(ledger, dict):
        return []
    dropped = ledger.get("dropped", 0)
    lost = f"; {dropped:,} servings were dropped" if dropped else ""
    lag = float(ledger.get("lag_seconds", 0))
    return [f"ledger: {ledger.get('waiting_batches', 0)} batches wait, the oldest for {lag:.0f} s{lost}"]


def _queues(report: dict[str, Any], figures: Any) -> list[str]:
    """With rates where the server tells them, else the depths of the health report."""
    if isinstance(figures, dict) and isinstance(figures.get("queues"), dict):
        rows = [
            (
                name,
                *(str(each[key]) for key in ("ready", "running", "deferred", "dead")),
                _age(each),
                f"{each['last_minute']['finished_per_second']:.1f}/s",
                f"{each['last_minute']['wait_seconds'] * 1000:.0f} ms",
            )
            for name, each in sorted(figures["queues"].items())
        ]
        heads = ("queue", "ready", "running", "later", "dead", "oldest", "done", "waited")
        return ["", table(rows, heads)]
    rows = [
        (name, *(str(depth.get(each, 0)) for each in ("ready", "running", "deferred")), _age(depth))
        for name, depth in sorted(report.get("queues", {}).items())
    ]
    return ["", table(rows, ("queue", "ready", "running", "later", "oldest"))] if rows else []


def _upstream_rows(upstreams: Any) -> list[tuple[str, ...]]:
    return [
        (
            str(each.get("protocol", "")),
            str(each.get("name", "")),
            state(each),
            str(each.get("url", "")),
        )
        for each in items(upstreams)
    ]


def _state(store: dict[str, Any]) -> str:
    detail = store.get("detail")
    return f"{store.get('status', '?')}{f': {detail}' if detail else ''}"


def _ping(store: dict[str, Any]) -> str:
    seconds = store.get("ping_seconds")
    return f"{seconds * 1000:.1f} ms" if seconds is not None else "-"


def _pool(pool: Any) -> str:
    return f"{pool.get('active', 0)} of {pool.get('max', 0)}" if isinstance(pool, dict) else "-"


def _age(depth: dict[str, Any]) -> str:
    seconds = float(depth.get("oldest_age_seconds", 0))
    return f"{seconds:.1f} s" if depth.get("ready") else "-"
