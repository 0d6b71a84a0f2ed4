"""Tools of the services on the stores that a running Orchard has started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.standalone.maintenance import store_variables
from shared.errors import ConfigurationError
from shared.settings import load_settings
from tests.services.standalone.harness import Standalone
from tests.support.stores import ROOT


def test_sweep__of_a_running_orchard__finds_its_stores_by_the_folder_alone(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data", module="services.standalone") as orchard:
        orchard.wait_until_ready()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
        done = subprocess.run(
            [sys.executable, "-m", "services.standalone.maintenance", "--evict"],
            cwd=ROOT,
            env={**environment, "ORCHARD_DATA_DIR": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["evicted"] == 0


def test_eviction__over_stores_of_others_with_no_bound_set__is_refused() -> None:
    named = {
        "ORCHARD_DATABASE_URL": "postgresql://x",
        "ORCHARD_REDIS_HOST": "a",
        "ORCHARD_QUEUE_REDIS_HOST": "b",
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.standalone.maintenance", "--evict"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], **named}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "ORCHARD_EVICT_DAYS: --evict needs it" in done.stderr


def test_stores__named_by_the_settings_or_noted_nowhere__left_or_refused(tmp_path: Path) -> None:
    named = {
        "ORCHARD_DATABASE_URL": "postgresql://x",
        "ORCHARD_REDIS_HOST": "a",
        "ORCHARD_QUEUE_REDIS_HOST": "b",
    }
    assert store_variables(load_settings(named)) == {}
    with pytest.raises(ConfigurationError, match="ORCHARD_DATA_DIR"):
        store_variables(load_settings({"ORCHARD_DATA_DIR": str(tmp_path)}))
