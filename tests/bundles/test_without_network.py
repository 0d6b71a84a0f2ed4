"""An Orchard that has nothing but a loopback takes a bundle, and real clients install from it with empty
caches: what they get is, byte for byte, what they got where it was recorded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles.conftest import KEY, NewShelf, command
from tests.firewall.shelves import DAY
from tests.services.standalone.harness import Standalone, wait_for
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster
from tests.support.stores import ROOT
from tests.views.test_clients import _tree as tree

INSIDE = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
AGES = {"1.0.0": 300 * DAY, "2.0.0": 100 * DAY}


class Cut:
    """A standalone Orchard in a network of its own; `run` runs beside it."""

    def __init__(self, orchard: Standalone, folder: Path) -> None:
        self.orchard = orchard
        self.folder = folder
        self.base = f"http://127.0.0.1:{orchard.port}"

    def run(self, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
        env |= {"ORCHARD_DATA_DIR": str(self.folder), "ORCHARD_URL": self.base, "PYTHONPATH": str(ROOT)}
        enter = [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--net",
            f"--target={self.orchard.process.pid}",
        ]
        return subprocess.run([*enter, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=110)


@pytest.fixture
def cut(tmp_path: Path) -> Iterator[Cut]:
    needed = all(map(shutil.which, ("unshare", "nsenter", "ip")))
    if not needed or subprocess.run([*INSIDE, "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    folder = tmp_path / "data"
    with Standalone(folder, module="services.standalone", through=INSIDE) as orchard:
        wait_for(lambda: orchard.process.poll() is not None or "Ctrl-C" in orchard.text, "it", seconds=90)
        orchard.wait_until_ready()
        yield Cut(orchard, folder)


@pytest.mark.timeout(300)  # three Orchards are started for it
def test_pip_and_npm__in_a_network_of_nothing__install_what_was_recorded(
    orchard: Cluster, cut: Cut, shelf: NewShelf, tmp_path: Path
) -> None:
    low, top, module = shelf("pypi"), shelf("pypi"), shelf("npm")
    low.put(AGES)
    top.data = {"1.0.0": build_wheel(top.name, "1.0.0", requires=[f"{low.name}>=1.0"])}
    top.put({"1.0.0": 300 * DAY})
    module.put(AGES)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    package = {"name": "p", "dependencies": {module.name: "^2.0.0"}}
    (first / "package.json").write_text(json.dumps(package))
    shutil.copytree(first, second)
    script = f"{sys.executable} -m pip install -q --no-input --target out {top.name}"
    if shutil.which("npm") is not None:
        script += " && npm install --no-fund --no-audit"
    build = [sys.executable, "-m", "services.cli", "build", "exec", "--json"]
    env = {**os.environ, "ORCHARD_URL": orchard.gateway.base, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*build, "--seal", "--", "sh", "-c", script],
        cwd=first,
        env=env,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sealed = json.loads(done.stdout[done.stdout.index("{") :])
    file = tmp_path / "app.bundle"
    command(orchard, "bundle", sealed["id"], "-o", str(file))
    asked = orchard.upstream.count()
    imported = cut.run(sys.executable, "-m", "services.cli", "import", str(file), "--trust", KEY)
    assert imported.returncode == 0, imported.stdout + imported.stderr
    away = cut.run(sys.executable, "-c", f"import urllib.request as it; it.urlopen('{orchard.gateway.base}')")
    assert away.returncode != 0
    again = cut.run(*build, "--build", sealed["id"], "--", "sh", "-c", script, cwd=second)
    assert again.returncode == 0, again.stdout + again.stderr
    here, there = orchard.gateway.base.encode(), cut.base.encode()  # npm's lock names where it asked
    assert tree(second) == {name: data.replace(here, there) for name, data in tree(first).items()}
    assert (second / "out" / low.name.replace("-", "_")).is_dir()
    assert orchard.upstream.count() == asked
