"""`python -m services.extractor`: exit code 2 and one line per fault for bad settings, 0 after SIGTERM."""

from __future__ import annotations

import sys

from services.extractor.compose import SERVICE, roles, run
from shared.worker.process import worker_main

DESCRIPTION = (
    "Reads dependencies and metadata out of stored artifacts, in sandboxed children, without egress."
)

if __name__ == "__main__":
    sys.exit(worker_main(SERVICE, DESCRIPTION, run, roles))
