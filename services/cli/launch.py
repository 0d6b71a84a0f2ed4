"""What `.venv/bin/orchard` runs: the command of this checkout, whatever the working directory.

Started with `python -P`, so that no `services` folder of the working directory is imported instead.
"""

import sys

sys.path.insert(0, __file__.removesuffix("/services/cli/launch.py"))

from services.cli.main import main

sys.exit(main())
