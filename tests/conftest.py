"""Store fixtures for all tests, one name for a test in every process, failures told at once, and no
folder left behind by what passed."""

from __future__ import annotations

import functools
import shutil
import ssl
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx._transports.default
import pytest

from shared.objects import files
from tests.support.memory import choose_folder

choose_folder()  # before any plugin asks for one
pytest_plugins = [
    "tests.support.trust",
    "tests.support.stores",
    "tests.support.seaweedfs",
    "tests.support.minio",
]


NAMES = vars(httpx._transports.default)
make_context: Callable[..., ssl.SSLContext] = NAMES["create_ssl_context"]
trusting_certifi = functools.cache(make_context)


def one_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    """One for all clients of a process that take no setting from elsewhere: each would read certifi's list,
    30 ms of a core for a request to loopback without TLS, a quarter of what tests did."""
    make = trusting_certifi if verify is True and not trust_env else make_context
    return make(verify=verify, cert=cert, trust_env=trust_env)


NAMES["create_ssl_context"] = one_context


# In a process of tests a store's folders are made by what is put into them: a third of what tests did was to
# make and remove 256 of each kind. Services make them all; so do tests that are about them.
files.AHEAD = ()


def pytest_make_parametrize_id(val: Any, argname: str) -> str | None:
    """Long and packed bytes by their argument: gzip writes the second of its making into them, and tests
    that run in several processes must have the same name in each."""
    if isinstance(val, bytes) and (len(val) > 40 or val.startswith(b"\x1f\x8b")):
        return argname
    return None


FOLDERS_CLAIMED = pytest.StashKey[set[Path]]()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Folders a fixture of a module or package made go with it, unless a test failed in between: pytest
    keeps them all, and a whole run starts hundreds of Orchards with data of 50 MB and more each."""
    if fixturedef.scope not in ("module", "package"):
        return (yield)
    session = request.session
    base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    claimed = session.stash.setdefault(FOLDERS_CLAIMED, set())
    there, failed = set(base.iterdir()), session.testsfailed
    made: set[Path] = set()

    def remove() -> None:
        if session.testsfailed == failed:
            for folder in made:
                shutil.rmtree(folder, ignore_errors=True)

    fixturedef.addfinalizer(remove)  # before the fixture adds its own: the last one added runs first
    try:
        return (yield)
    finally:
        made.update(set(base.iterdir()) - there - claimed)
        claimed.update(made)


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
