"""The default upstream: the machine's own client first, in the client's own order of precedence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.standalone.upstreams import choose_upstreams
from shared.default_upstreams import client_certificates, default_upstream
from shared.errors import ConfigurationError
from shared.settings import load_settings

PORT = 8080


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def index(name: str, section: str = "global") -> str:
    return f"[{section}]\nindex-url = https://{name}.example.com/simple\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A machine without any client configuration of its own (but for /etc/pip.conf, if any)."""
    return {
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
        "VIRTUAL_ENV": str(tmp_path / "venv"),
    }


def default(environ: dict[str, str], protocol: str = "pypi") -> tuple[str, str]:
    return default_upstream(protocol, environ, PORT)


def no_site_configuration() -> bool:
    path = Path("/etc/pip.conf")
    return not path.exists() or "index" not in path.read_text()


def test_pip__variable__before_every_file(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "venv/pip.conf", index("venv"))
    environ["PIP_INDEX_URL"] = "https://variable.example.com/simple"
    assert default(environ) == ("https://variable.example.com/simple", "PIP_INDEX_URL")


def test_pip__files__each_more_important_one_wins(environ: dict[str, str], tmp_path: Path) -> None:
    paths = {
        "site": tmp_path / "xdg/pip/pip.conf",
        "legacy": tmp_path / "home/.pip/pip.conf",
        "user": tmp_path / "home/.config/pip/pip.conf",
        "venv": tmp_path / "venv/pip.conf",
    }
    for name, path in paths.items():
        write(path, index(name))
        if name != "site" or no_site_configuration():
            url, origin = default(environ)
            assert url == f"https://{name}.example.com/simple"
            assert origin == f"pip configuration {path}"
    named = write(tmp_path / "named.conf", index("named"))
    environ["PIP_CONFIG_FILE"] = str(named)
    assert default(environ)[0] == "https://named.example.com/simple"


def test_pip__install_section__over_global_of_any_file(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "xdg/pip/pip.conf", index("install", "install"))
    write(tmp_path / "venv/pip.conf", index("venv"))
    assert default(environ)[0] == "https://install.example.com/simple"


def test_pip__same_answer_as_pip_itself(environ: dict[str, str], tmp_path: Path) -> None:
    """The order of precedence is pip's: its own `config get` over the same files is the oracle."""
    write(tmp_path / "xdg/pip/pip.conf", index("site"))
    write(tmp_path / "home/.pip/pip.conf", index("legacy"))
    write(tmp_path / "home/.config/pip/pip.conf", index("user"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "XDG_"))}
    environ.pop("VIRTUAL_ENV")
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        env=environment | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert default_upstream("pypi", environ, PORT)[0] == answer.stdout.strip()


def test_pip__files_switched_off__none_read(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "venv/pip.conf", index("venv"))
    environ["PIP_CONFIG_FILE"] = os.devnull
    assert default(environ)[1] == "the public registry"


@pytest.mark.parametrize("text", ["no section", "[global\nindex-url=", "[global]\nindex-url =\n", "\udcff"])
def test_pip__broken_or_empty_file__passed_over(environ: dict[str, str], tmp_path: Path, text: str) -> None:
    path = tmp_path / "venv/pip.conf"
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    write(tmp_path / "home/.pip/pip.conf", index("legacy"))
    assert default(environ)[0] == "https://legacy.example.com/simple"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/pypi/simple/",
        "http://localhost:8080/",
        "http://[::1]:8080/pypi/simple",
        "http://localhost:9999/pypi/simple/",
    ],
)
def test_pip__set_up_to_use_this_orchard__not_its_own_upstream(environ: dict[str, str], url: str) -> None:
    environ["PIP_INDEX_URL"] = url
    assert default(environ)[0] != url


@pytest.mark.parametrize(
    "url",
    ["http://orchard.example.com:8080/pypi/simple/", "http://127.0.0.1:3141/root/+simple/"],
)
def test_pip__another_machine_or_another_server_here__is_a_good_upstream(
    environ: dict[str, str], url: str
) -> None:
    environ["PIP_INDEX_URL"] = url
    assert default(environ) == (url, "PIP_INDEX_URL")


@pytest.mark.parametrize("protocol", ["pypi", "npm", "maven"])
def test_public_registry__nothing_configured__https_base_ending_in_a_slash(
    environ: dict[str, str], protocol: str
) -> None:
    environ["PIP_CONFIG_FILE"] = os.devnull
    url, origin = default(environ, protocol)
    parts = urlsplit(url)
    assert (parts.scheme, origin) == ("https", "the public registry")
    assert parts.hostname and "name" not in url
    assert url.endswith("/simple/" if protocol == "pypi" else "/")


def test_unknown_protocol__names_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="ORCHARD_TOY_UPSTREAM"):
        default(environ, "toy")


def test_npm__variable_then_file(environ: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "home/.npmrc", "; note\nregistry = https://file.example.com/\n")
    assert default(environ, "npm") == ("https://file.example.com/", f"npm configuration {path}")
    environ["npm_config_registry"] = "https://variable.example.com/"
    assert default(environ, "npm")[0] == "https://variable.example.com/"


@pytest.mark.parametrize(
    ("protocol", "file", "text", "found"),
    [
        ("pypi", "venv/pip.conf", "[global]\ncert = /etc/corp.pem\n", "/etc/corp.pem"),
        ("pypi", "home/.config/pip/pip.conf", "[install]\ncert = ~/corp.pem\n", "{home}/corp.pem"),
        ("npm", "home/.npmrc", 'cafile="/etc/corp.pem"\n', "/etc/corp.pem"),
        ("npm", "home/.npmrc", "registry=https://npm.example.com/\n", ""),
        ("maven", "home/.npmrc", "cafile=/etc/corp.pem\n", ""),
    ],
)
def test_certificates__of_the_machine_s_client__are_found(
    environ: dict[str, str], tmp_path: Path, protocol: str, file: str, text: str, found: str
) -> None:
    write(tmp_path / file, text)
    assert client_certificates(protocol, environ) == found.format(home=environ["HOME"])


def test_certificates__go_with_the_index_of_the_same_client(environ: dict[str, str], tmp_path: Path) -> None:
    write(
        tmp_path / "venv/pip.conf",
        "[global]\nindex-url = https://pypi.example.com/simple\ncert = /etc/corp.pem\n",
    )
    environ |= {"ORCHARD_NPM_UPSTREAM": "https://npm.example.com/"}
    _, variables = choose_upstreams(load_settings(environ), environ)
    assert variables["PIP_CERT"] == "/etc/corp.pem"
    _, variables = choose_upstreams(load_settings(environ), environ | {"PIP_CERT": "/own.pem"})
    assert "PIP_CERT" not in variables, "the variable counts before the file, as for pip"
    environ |= {"ORCHARD_PYPI_UPSTREAM": "https://pypi.example.com/simple"}
    _, variables = choose_upstreams(load_settings(environ), environ)
    assert "PIP_CERT" not in variables


@pytest.mark.parametrize("wrong", ["http://", "http://127.0.0.1:9/#absent=some", "http://127.0.0.1:9/?a=b"])
def test_upstreams__one_that_is_set_and_cannot_be__told_before_anything_starts(
    environ: dict[str, str], wrong: str
) -> None:
    environ |= {"ORCHARD_NPM_UPSTREAM": f"http://127.0.0.1:8/,{wrong}"}
    with pytest.raises(ConfigurationError, match=r"^ORCHARD_NPM_UPSTREAM: "):
        choose_upstreams(load_settings(environ), environ)
