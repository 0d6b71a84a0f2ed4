"""`python -m services.standalone.maintenance`: a sweep over the stores of the data folder, which a running
Orchard has started: their ports and passwords are in no environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from services.standalone.kept_files import read_kept
from services.standalone.output import complain
from services.standalone.postgres import DATABASE, USER
from services.standalone.room import bound_of
from services.standalone.servers import LOOPBACK
from shared.errors import ConfigurationError
from shared.protocols import spoken
from shared.settings import Settings, load_settings

EXIT_CONFIGURATION = 2


def main(arguments: list[str]) -> int:
    """The sweep's exit code, given its arguments."""
    try:
        settings = load_settings(protocols=spoken())
        found = dict(store_variables(settings))
    except ConfigurationError as error:
        complain(error.message)
        return EXIT_CONFIGURATION
    if find_spec("services.extractor") is None:
        complain("a sweep is the extractor's: run this in its container")
        return EXIT_CONFIGURATION
    if found:  # services over stores of others have no bound but the one that is set
        found["ORCHARD_EVICT_BYTES"] = str(bound_of(settings, Path(settings.data_dir).expanduser()))
    command = [sys.executable, "-m", "services.extractor.sweep", *arguments]
    return subprocess.run(command, env={**os.environ, **found}, check=False).returncode


def store_variables(settings: Settings) -> Mapping[str, str]:
    """The ORCHARD_* variables of stores that the settings do not name, as a running Orchard has noted them.
    Raises `ConfigurationError` where it never ran."""
    data, found = Path(settings.data_dir).expanduser(), {}
    if not settings.database_url:
        port, password = _noted(data / "postgres")
        found["ORCHARD_DATABASE_URL"] = f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"
    cache = settings.redis_host or settings.redis_sentinels or settings.redis_cluster
    queue = settings.queue_redis_host or settings.queue_redis_sentinels
    for folder, prefix, named in (
        ("redis-cache", "ORCHARD_REDIS", cache),
        ("redis-queue", "ORCHARD_QUEUE_REDIS", queue),
    ):
        if not named:
            port, password = _noted(data / folder)
            found |= {f"{prefix}_HOST": LOOPBACK, f"{prefix}_PORT": port, f"{prefix}_PASSWORD": password}
    return found


def _noted(folder: Path) -> tuple[str, str]:
    port, password = read_kept(folder / "port"), read_kept(folder / "password")
    if not port.isdigit() or not password:
        raise ConfigurationError(f"ORCHARD_DATA_DIR: no Orchard keeps its stores in {folder.parent}")
    return port, password


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
