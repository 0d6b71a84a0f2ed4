"""The settings file: the environment counts before it, every fault is told with its file and key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.protocols import spoken
from shared.settings import Settings, load_settings

Load = Callable[[str], Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings of an environment that names a file with this text."""
    for name in [each for each in os.environ if each.startswith("ORCHARD_")]:
        monkeypatch.delenv(name)

    def settings(text: str) -> Settings:
        path = tmp_path / "orchard.toml"
        path.write_text(text)
        monkeypatch.setenv("ORCHARD_SETTINGS_FILE", str(path))
        before = dict(os.environ)
        try:
            return load_settings(protocols=spoken())
        finally:
            for name in set(os.environ) - set(before):
                del os.environ[name]

    return settings


def test_file__every_kind_of_value__as_the_variable_would_say(load: Load) -> None:
    found = load(
        'port = 9090\noffline = true\nstale_wait = 0.25\nminimum_age = "7d"\n'
        'pypi_upstream = ["https://a.example/simple/", "https://b.example/simple/"]\n'
    )
    assert (found.port, found.offline, found.stale_wait) == (9090, True, 0.25)
    assert found.upstreams["pypi"] == ("https://a.example/simple/", "https://b.example/simple/")
    assert found.minimum_ages == {"": 7 * 86_400.0}


def test_file_and_environment__the_environment_counts(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHARD_PORT", "7070")
    found = load("port = 9090\nhost = '::1'\n")
    assert (found.port, found.host) == (7070, "::1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "orchard.toml: prot: unknown setting; did you mean port?"),
        ("pipy_upstream = 'https://a.example/'", "there are pypi_upstream, npm_upstream"),
        ("port = 'many'", "orchard.toml: port: "),
        ("PORT = 1", "expected names as `port`"),
        ("settings_file = 'other'", "expected names as `port`"),
        ("[port]\nnumber = 1", "orchard.toml: port: expected a text"),
        ("pypi_upstream = ['a,b']", "expected a text"),
        ("port = ", "is no TOML"),
    ],
)
def test_file__fault__one_line_with_its_key(load: Load, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(text)
    assert told in refused.value.message and "\n" not in refused.value.message


def test_file__secret_of_a_wrong_kind__is_not_shown(load: Load) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load("redis_password = 'hunter2'\nredis_port = 'x'\n")
    assert "hunter2" not in refused.value.message


def test_file__is_not_there__one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORCHARD_SETTINGS_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=r"ORCHARD_SETTINGS_FILE: .*none cannot be read"):
        load_settings()


def test_file__with_a_byte_order_mark__is_read(load: Load) -> None:
    assert load("\ufeffport = 9090\n").port == 9090


def test_file__holds_what_no_variable_can__told_with_its_key(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"orchard\.toml: host: must hold no line break"):
        load('host = "a\\u0000b"\n')


def test_file__is_a_fifo__refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setenv("ORCHARD_SETTINGS_FILE", str(tmp_path / "fifo"))
    with pytest.raises(ConfigurationError, match="is no file"):
        load_settings()
