"""What the resolution oracles of npm and Maven share: whom to ask, and where they work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.harness.orchard import orchard
from bench.harness.work_folders import work_folder
from shared.default_upstreams import default_upstream


@contextlib.contextmanager
def asked(protocol: str, environment: str, *, at: str, keep: bool) -> Iterator[tuple[str, Path]]:
    """The address of the running Orchard `at`, or of one of its own in front of this machine's registry;
    and a working folder, removed afterwards unless `keep`."""
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(work_folder("resolution-oracle", keep=keep))
        base = at.rstrip("/")
        if not at:
            upstream, origin = default_upstream(protocol, {}, 0)
            print(f"upstream: {origin}; environment: {environment}")
            upstreams = {f"{protocol}_upstream": upstream}
            server = orchard(work / "data", upstream="http://127.0.0.1:9/simple/", pin=False, **upstreams)  # type: ignore[arg-type]
            base = stack.enter_context(server).url("")
        yield base, work
