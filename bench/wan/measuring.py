"""All cases of a measurement, run after run, with what they need around them: registries, link, folders."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.wan import recording, rounds
from bench.wan.clients import Client
from bench.wan.link import Quality
from bench.wan.proxy import running_proxy
from bench.wan.recorded import recorded
from bench.wan.report import Case, Measured
from bench.wan.rounds import Upstream
from shared.default_upstreams import default_upstream

WORK = Path(__file__).resolve().parents[1] / ".work" / "wan"
SETS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("sets.toml").read_text())
REGISTRY, METADATA, NO_METADATA = "registry", "core metadata", "no core metadata"
RECORDED = "recorded"  # of the protocols that know no core metadata


class Options(msgspec.Struct, frozen=True):
    """What is measured, how often, and when no further run begins."""

    clients: Sequence[Client]
    sets: Sequence[str] = ("small",)
    links_ms: Sequence[float] = (50,)
    megabits: float = 200
    runs: int = 3
    registry: bool = False
    minutes: float = 90


def measure(options: Options) -> list[Measured]:
    """The cases with their runs, interleaved. What cannot be run here is left out, and said.

    Raises `RuntimeError` if the registries cannot be recorded, or served.
    """
    clients = [client for client in options.clients if client.there]
    for client in options.clients:
        if client not in clients:
            _say(f"{client.needs} is not installed: {client.name} is left out")
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        upstreams, names = upstreams_of(stack, options, clients)
        proxy = stack.enter_context(running_proxy(Quality(0.0, 1e9), names))
        stack.callback(shutil.rmtree, WORK / "run", ignore_errors=True)
        cases = [
            (client, Measured(Case(client.name, chosen, link, kind)))
            for chosen in options.sets
            for link in options.links_ms
            for client in clients
            for kind in kinds_of(client, options)
        ]
        for number in range(options.runs):
            for client, measured in cases:
                case = measured.case
                if time.monotonic() - begun > options.minutes * 60:
                    _say(f"{options.minutes:g} minutes are over: the rest is left out")
                    return [each for _, each in cases]
                _say(f"run {number + 1} of {options.runs}: {case.label} …")
                quality = Quality(case.link_ms / 1000, options.megabits * 125_000)
                packages = SETS[case.set][client.protocol]
                upstream = upstreams[case.set, case.upstream]
                try:
                    done = rounds.run(client, packages, upstream, proxy, quality, WORK / "run")
                except rounds.Failure as failure:
                    measured.failures.append(str(failure))
                else:
                    measured.runs.append(done)
    return [each for _, each in cases]


def kinds_of(client: Client, options: Options) -> Sequence[str]:
    """The upstreams that a client is measured against."""
    if options.registry:
        return (REGISTRY,)
    return (NO_METADATA, METADATA) if client.protocol == "pypi" else (RECORDED,)


def upstreams_of(
    stack: contextlib.ExitStack, options: Options, clients: Sequence[Client]
) -> tuple[dict[tuple[str, str], Upstream], dict[str, tuple[str, int]]]:
    """By set and kind; and the hosts that lie on this machine."""
    registries = Upstream(
        {protocol: default_upstream(protocol, os.environ, 0)[0] for protocol in rounds.MOUNTS}
    )
    if options.registry:
        return {(chosen, REGISTRY): registries for chosen in options.sets}, {}
    for chosen in options.sets:
        for protocol in sorted({client.protocol for client in clients}):
            folder = WORK / "recorded" / chosen
            if not (folder / protocol).exists():
                _say(f"recording {chosen} of {protocol} (once; the registries are asked) …")
                recording.record(folder, WORK / "run", protocol, SETS[chosen][protocol], registries)
    server = stack.enter_context(recorded(WORK / "recorded", WORK / "nginx"))
    return {
        (chosen, kind): server.upstream(chosen, core_metadata=kind != NO_METADATA)
        for chosen in options.sets
        for kind in (NO_METADATA, METADATA, RECORDED)
    }, server.names


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
