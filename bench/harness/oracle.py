"""What the resolution oracles of npm and Maven share: whom to ask, and where they work."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.harness.orchard import orchard
from shared.default_upstreams import default_upstream


@contextlib.contextmanager
def asked(protocol: str, environment: str, *, at: str, keep: bool) -> Iterator[tuple[str, Path]]:
    """The address of the running Orchard `at`, or of one of its own in front of this machine's registry;
    and a working folder, removed afterwards unless `keep`."""
    work = Path(__file__).resolve().parents[1] / ".work" / "run" / f"resolution-oracle-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        if at:
            yield at.rstrip("/"), work
            return
        upstream, origin = default_upstream(protocol, {}, 0)
        print(f"upstream: {origin}; environment: {environment}")
        upstreams = {f"{protocol}_upstream": upstream}
        with orchard(work / "data", upstream="http://127.0.0.1:9/simple/", pin=False, **upstreams) as server:  # type: ignore[arg-type]
            yield server.url(""), work
    finally:
        if keep:
            print(f"logs and data: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
