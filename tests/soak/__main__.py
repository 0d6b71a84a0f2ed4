"""`make soak`: a whole Orchard under load, one random fault after another, every byte checked.

    python -m tests.soak [--minutes 20] [--seed N] [--clients 16] [--only TEXT]

Exit code 0: every invariant held. Never a wrong byte in a complete answer, a silence longer than promised, a
status but 200, 206, 304, true 404s and 503 (and what an upstream's own refusal is told as); nothing left over
at rest, memory flat, everything ever served there again offline.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.soak.campaign import Campaign
from tests.soak.faults import FAULTS
from tests.soak.system import System
from tests.support.upstream import Upstream

DISK = "1500m"


@contextlib.contextmanager
def own_disk() -> Iterator[Path]:
    """A folder, on a small file system of its own where that may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="orchard-soak-"))
    folder.chmod(0o755)  # PostgreSQL runs as somebody else
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(folder)], capture_output=True
    ).returncode == 0  # fmt: skip
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="of random faults (20)")
    parser.add_argument("--seed", type=int, help="repeats a campaign; random unless given")
    parser.add_argument("--clients", type=int, default=16, help="at once (16)")
    parser.add_argument("--power-cuts", type=int, default=5, help="after the faults (5)")
    parser.add_argument("--kill-points", type=int, default=8, help="of downloads (8)")
    parser.add_argument("--only", default="", help="only faults whose name holds this text")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    faults = [each for each in FAULTS if options.only in each.name]
    print(f"seed {seed}, {len(faults)} kinds of fault", flush=True)
    with own_disk() as folder, Upstream() as upstream:
        system = System(folder, upstream)
        campaign = Campaign(
            system, upstream, seed, lambda line: print(line, flush=True), clients=options.clients
        )
        try:
            asyncio.run(
                campaign.run(seconds=options.minutes * 60, faults=faults, power_cuts=options.power_cuts,
                             points=options.kill_points)
            )  # fmt: skip
        except AssertionError as error:
            campaign.violations.append(str(error))
        finally:
            system.stop()
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(campaign.requests.items()))
    print(f"{campaign.requests.total()} requests checked: {counts}")
    for violation in campaign.violations:
        print(f"VIOLATION {violation}")
    print(f"{len(campaign.violations)} violations (seed {seed})")
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())
