"""Store fixtures for all tests, one name for a test in every process, and failures told at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

pytest_plugins = ["tests.support.stores", "tests.support.seaweedfs", "tests.support.minio"]


def pytest_make_parametrize_id(val: Any, argname: str) -> str | None:
    """Long and packed bytes by their argument: gzip writes the second of its making into them, and tests
    that run in several processes must have the same name in each."""
    if isinstance(val, bytes) and (len(val) > 40 or val.startswith(b"\x1f\x8b")):
        return argname
    return None


LOG_BYTES = 6000
WORTH_TELLING = ("transfer_broken", '"level":"warning"', '"level":"error"', "Traceback")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure comes what the Orchard it was about said last: what broke off, warnings and errors."""
    report = yield
    logs = getattr(getattr(item, "funcargs", {}).get("orchard"), "logs", None)
    if report.failed and callable(logs):
        lines = [line for line in logs().splitlines() if any(each in line for each in WORTH_TELLING)]
        report.sections.append(("logs of orchard", "\n".join(lines)[-LOG_BYTES:]))
    return report


class _Told:
    """Names what fails while the others still run: a whole run takes half an hour."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_line(f"\n{report.when} failed: {report.nodeid}", red=True)


@pytest.hookimpl(trylast=True)  # the terminal is made by this hook too
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Told(terminal))
