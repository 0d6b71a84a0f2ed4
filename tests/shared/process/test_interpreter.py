"""Services run with an interpreter that is set up for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from shared.process import interpreter
from shared.protocols import PROTOCOLS
from shared.settings import Settings
from shared.worker.process import worker_main

SHOWN = "import gc, sys; print(gc.get_freeze_count() > 1000, sys.getswitchinterval())"


def test_tune__what_stands_by_now__is_left_to_itself() -> None:
    code = f"from shared.process import interpreter; interpreter.tune(); {SHOWN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", str(interpreter.SWITCH_SECONDS)]


def test_worker__when_it_starts__has_its_roles_and_is_tuned_first(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def run(served: Coroutine[Any, Any, None]) -> None:
        served.close()
        steps.append("run")

    monkeypatch.setattr(interpreter, "tune", lambda: steps.append("tuned"))
    monkeypatch.setattr("shared.worker.process.configure_logging", lambda *_: None)
    monkeypatch.setattr(uvloop, "run", run)
    monkeypatch.setattr(sys, "argv", ["worker"])

    async def serve(settings: Settings, stop: asyncio.Event) -> None: ...

    loaded = [protocol.name for protocol in PROTOCOLS]
    assert worker_main("fetcher", "", serve, lambda protocol: steps.append(protocol.name)) == 0
    assert steps == [*loaded, "tuned", "run"]


COLD_PAGE = """
import sys
from services.fetcher.compose import roles
from shared.models import UpstreamSource
from shared.protocols import load, protocol_named
load(roles)
before = set(sys.modules)
protocol = protocol_named("pypi")
url = "http://127.0.0.1/simple/demo/"
source = UpstreamSource(id=1, protocol="pypi", name="main", url="http://127.0.0.1/simple/")
read = protocol.documents.read_index("simple/demo", source, url=url, content_type="", body=b'{"files": []}')
for rendering in protocol.pages.rewrite_index("simple/demo", read.document, sealed={}, base_url="").values():
    assert rendering.body
protocol.archive.parent_of("demo-1.0-py3-none-any.whl.metadata")
print(sorted(name for name in set(sys.modules) - before if name.startswith("shared.")))
"""


def test_fetcher__its_first_page__waits_for_no_import() -> None:
    done = subprocess.run([sys.executable, "-c", COLD_PAGE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
