"""A real Prometheus scrapes a real Orchard under a little load: every panel and trigger shows something."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.test_metrics_used import EXPRESSIONS
from tests.deploy.tools import needs_prometheus
from tests.support.builders import wheel_file
from tests.support.orchard import Cluster, cluster, free_port, wait_until
from tests.support.upstream import Upstream

PROJECTS = [f"shown-{number}" for number in range(4)]
WINDOW = "30s"


@contextmanager
def _prometheus(folder: Path, orchard: Cluster) -> Iterator[str]:
    """Its address. It names jobs and targets as deploy/compose/prometheus.yml does."""
    jobs = [
        {
            "job_name": f"orchard-{name}",
            "static_configs": [{"targets": [f"127.0.0.1:{each.port}" for each in orchard.all_of(name)]}],
        }
        for name in ("gateway", "fetcher", "extractor")
    ]
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address={address}", "--log.level=warn"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: len(_ask(address, "up == 1")) == 3, seconds=30, what="three scraped services")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _ask(address: str, query: str) -> list[dict[str, Any]]:
    try:
        answer = httpx.get(
            f"http://{address}/api/v1/query", params={"query": query}, timeout=10, trust_env=False
        )
    except httpx.HTTPError:
        return []
    assert answer.status_code in (200, 503), answer.text
    return list(answer.json()["data"]["result"]) if answer.status_code == 200 else []


def _load(orchard: Cluster) -> None:
    """Cold and warm pages and files, and a name that is not there; spread over some scrapes."""
    for count in range(1, len(PROJECTS) + 1):
        for project in PROJECTS[:count]:
            filename = f"{project.replace('-', '_')}-1.0-py3-none-any.whl"
            assert orchard.get(orchard.file_path(project, filename)).status_code == 200
        orchard.get("/pypi/simple/nobody-has-this/")
        time.sleep(1.1)


@needs_prometheus
@pytest.mark.slow
def test_panels_and_triggers__after_some_load__all_answer(tmp_path: Path) -> None:
    with Upstream() as upstream:
        for project in PROJECTS:
            wheel = wheel_file(project, "1.0", requires=["other"])
            upstream.add_project(project, {wheel.filename: wheel.content})
        with (
            cluster(tmp_path, upstream, ORCHARD_CACHE_TTL_INDEX="2") as orchard,
            _prometheus(tmp_path, orchard) as address,
        ):
            silent: list[str] = []
            for _ in range(3):
                _load(orchard)
                silent = [where for where, query in _queries() if not _ask(address, query)]
                if not silent:
                    break
            assert silent == []
            assert _ask(address, "absent(orchard_build_info)") == []


def _queries() -> list[tuple[str, str]]:
    """Panels and triggers as Grafana and KEDA would ask, with every variable set to everything."""
    kept = [(where, query) for where, query in EXPRESSIONS if not where.startswith("orchard-")]
    assert len(kept) > 30
    return [
        (where, re.sub(r"\$(protocol|queue|source)\b", ".*", re.sub(r"\$__\w+", WINDOW, query)))
        for where, query in kept
    ]
