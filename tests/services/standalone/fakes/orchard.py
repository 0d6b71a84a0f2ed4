"""The real standalone command with these small programs in its table."""

import sys

from services.standalone.__main__ import main
from services.standalone.table import Modules

HERE = "tests.services.standalone.fakes"

if __name__ == "__main__":
    modules = Modules(
        gateway=f"{HERE}.gateway",
        fetcher=f"{HERE}.worker",
        extractor=f"{HERE}.worker",
        migrations=f"{HERE}.migrations",
    )
    sys.exit(main(modules=modules))
