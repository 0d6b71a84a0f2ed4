"""`python -m orchard_proxy`: the `orchard` command."""

from __future__ import annotations

import sys

from orchard_proxy import main

if __name__ == "__main__":
    sys.exit(main())
