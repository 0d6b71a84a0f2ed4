"""`python -m services.fetcher`: exit code 2 and one line per fault for bad settings, 0 after SIGTERM."""

from __future__ import annotations

import sys

from services.fetcher.compose import SERVICE, roles, run
from shared.process.allocator import give_large_blocks_back
from shared.worker.process import worker_main

DESCRIPTION = "Asks the upstreams: fetches, verifies and stores what gateways miss, and relays it meanwhile."

if __name__ == "__main__":
    give_large_blocks_back()
    sys.exit(worker_main(SERVICE, DESCRIPTION, run, roles))
