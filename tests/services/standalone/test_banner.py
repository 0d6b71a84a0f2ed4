"""The banner tells what to paste and shows no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.standalone.banner import Upstream, banner, base_url
from shared.settings import Settings


def text_of(settings: Settings, *upstreams: Upstream) -> str:
    return banner(settings, upstreams, Path("/srv/data"), Path("/srv/data/logs"), "/srv/data/admin-token")


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        (Settings(), "http://127.0.0.1:8080"),
        (Settings(host="0.0.0.0", port=81), "http://127.0.0.1:81"),
        (Settings(host="::", port=81), "http://[::1]:81"),
        (Settings(public_url=("https://packages.example.com/", "http://b")), "https://packages.example.com"),
    ],
)
def test_base_url__each_kind_of_host__is_one_that_clients_can_use(settings: Settings, base: str) -> None:
    assert base_url(settings) == base


def test_banner__upstream_with_credentials__shows_neither_user_nor_password() -> None:
    text = text_of(
        Settings(), Upstream("pypi", ("https://bob:hush@index.example.com/simple/?t=hush",), "pip")
    )
    assert "https://index.example.com/simple/ [pip]" in text
    assert "hush" not in text
    assert "bob" not in text


def test_banner__plain_http_on_another_host__tells_pip_to_trust_it() -> None:
    assert "PIP_TRUSTED_HOST=10.0.0.5" in text_of(Settings(host="10.0.0.5"))
    assert "PIP_TRUSTED_HOST" not in text_of(Settings())
    assert "PIP_TRUSTED_HOST" not in text_of(Settings(public_url=("https://packages.example.com",)))


def test_banner__plain_http_on_another_host__tells_gradle_to_take_it() -> None:
    assert "allowInsecureProtocol = true" in text_of(Settings(host="10.0.0.5"))
    assert "allowInsecureProtocol" not in text_of(Settings())
    assert "allowInsecureProtocol" not in text_of(Settings(public_url=("https://packages.example.com",)))


def test_banner__names_every_client_of_the_readme_and_the_command() -> None:
    clients = ("pip, pipx, hatch", "uv", "pdm", "poetry", "npm, pnpm, yarn 1, bun, deno", "yarn 4")
    text = text_of(Settings())
    assert all(
        f"\n  {client}" in text for client in (*clients, "mvn", "Gradle", "coursier", "cargo", "or        ")
    )


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(port=81), Settings(public_url=("https://p.example.com",))]
)
def test_banner__names_the_command_as_this_shell_calls_it_with_the_address_of_this_orchard(
    settings: Settings,
) -> None:
    (line,) = (each for each in text_of(settings).splitlines() if each.startswith("  or  "))
    command, _, rest = line.split(None, 1)[1].partition(" client-config TOOL --write")
    assert command == "orchard" or Path(command).is_file()
    assert rest == ("" if settings == Settings() else f" --url {base_url(settings)}")


def test_banner__offline__says_that_no_upstream_is_asked() -> None:
    assert "ORCHARD_OFFLINE" in text_of(Settings(offline=True))


def test_banner__several_gateways__names_the_address_of_each() -> None:
    data, logs = Path("/srv/data"), Path("/srv/data/logs")
    text = banner(Settings(port=81), (), data, logs, "/srv/data/admin-token", 3)
    assert "the same at http://127.0.0.1:82, http://127.0.0.1:83" in text
    assert "gateways" not in text_of(Settings())
