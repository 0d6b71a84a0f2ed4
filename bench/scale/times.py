"""How long each statement takes in the large installation, and how many rows it looks at.

Each is run with many different arguments, by plans for those and by PostgreSQL's generic plan, as a prepared
statement has them after some uses. What writes is rolled back.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from bench.scale.rows import Sizes
from bench.scale.samples import SAMPLES, SMALL, of, statements
from shared.postgres.connection import SERVER_SETTINGS

RUNS = 24  # of each plan; the first of each is not counted
MODES = ("force_custom_plan", "force_generic_plan")


class Times(msgspec.Struct, frozen=True):
    """Of one statement: milliseconds, and rows that its scans read in one run."""

    name: str
    median_ms: float
    most_ms: float
    looked_at: int
    scans: tuple[str, ...]  # tables of which a scan read everything
    fault: str = ""  # it was cut off


async def measure(
    url: str, sizes: Sizes, *, runs: int = RUNS, settings: Sequence[str] = (), names: Sequence[str] = ()
) -> list[Times]:
    """All statements that have a sample, the slowest first. `settings`: SET commands beforehand."""
    found = []
    for name, statement in sorted(statements().items()):
        if of(SMALL, name) is not None or (names and name not in names):
            continue
        found.append(await _times(url, sizes, name, statement, runs, settings))
    return sorted(found, key=lambda each: -each.most_ms)


async def _times(
    url: str, sizes: Sizes, name: str, statement: str, runs: int, settings: Sequence[str]
) -> Times:
    chance = random.Random(name)
    sample = of(SAMPLES, name)
    assert sample is not None
    taken: list[float] = []
    looked, scans, fault = 0, set[str](), ""
    for mode in MODES:
        connection = await asyncpg.connect(url, server_settings=SERVER_SETTINGS | {"plan_cache_mode": mode})
        try:
            for each in settings:
                await connection.execute(each)
            async with connection.transaction():
                await connection.execute("SET LOCAL statement_timeout = '20s'")
                for number in range(runs):
                    arguments = sample(sizes, chance.randrange(2**31))
                    began = time.perf_counter()
                    await connection.fetch(statement, *arguments)
                    if number or runs == 1:
                        taken.append((time.perf_counter() - began) * 1000)
                plan = await connection.fetchval(
                    f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *sample(sizes, chance.randrange(2**31))
                )
                looked = max(looked, _looked_at(json.loads(plan)[0]["Plan"], scans))
                raise _RolledBack
        except _RolledBack:
            pass
        except asyncpg.QueryCanceledError as error:
            taken, fault = [*taken, 20_000.0], str(error)
        finally:
            await connection.close()
    return Times(name, statistics.median(taken), max(taken), looked, tuple(sorted(scans)), fault)


class _RolledBack(Exception):
    pass


def _looked_at(node: dict[str, Any], scans: set[str]) -> int:
    """Rows that the scans of a plan read, those they left out as well."""
    looked = 0
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        looked += int(read * node["Actual Loops"])
        if node["Node Type"] == "Seq Scan" and node["Actual Loops"]:
            scans.add(node["Relation Name"])
    return looked + sum(_looked_at(each, scans) for each in node.get("Plans", []))
