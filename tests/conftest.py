"""Store fixtures for all tests, one name for a test in every process, and failures told at once."""

from __future__ import annotations

from typing import Any

import pytest

pytest_plugins = ["tests.support.stores", "tests.support.seaweedfs", "tests.support.minio"]


def pytest_make_parametrize_id(val: Any, argname: str) -> str | None:
    """Long and packed bytes by their argument: gzip writes the second of its making into them, and tests
    that run in several processes must have the same name in each."""
    if isinstance(val, bytes) and (len(val) > 40 or val.startswith(b"\x1f\x8b")):
        return argname
    return None


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
