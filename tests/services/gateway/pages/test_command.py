"""`/orchard.pyz`: one file that is the whole command, for everyone, and knows where it came from."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from services.cli.table import CLIENTS
from services.gateway.pages.command import ROOT, archive
from shared.version import VERSION
from tests.support.gateway import running_gateway


def _run(file: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """With nothing but the standard library, from the file's folder."""
    return subprocess.run(
        [sys.executable, "-I", "-S", file.name, *words],
        cwd=file.parent,
        env={"PATH": "/usr/bin:/bin", "HOME": str(file.parent), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def pyz(tmp_path: Path) -> Path:
    file = tmp_path / "orchard.pyz"
    file.write_bytes(archive("http://orchard.example.com:8080"))
    return file


def test_gateway__that_asks_for_tokens__hands_it_to_everyone_with_the_address_that_was_asked(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    settings = {**store_settings, "ORCHARD_ANONYMOUS_READ": "false"}
    with running_gateway(settings, tmp_path) as gateway:
        assert gateway.request("/pypi/simple/x/").status == 401
        answer = gateway.request("/orchard.pyz")
        assert answer.status == 200
        assert answer.headers["content-disposition"] == 'attachment; filename="orchard.pyz"'
        assert answer.headers["vary"] == "host"
        file = tmp_path / "orchard.pyz"
        file.write_bytes(answer.body)
        status = _run(file, "status")
        assert (status.returncode, status.stdout.split()[:2]) != (3, [])
        assert f"http://127.0.0.1:{gateway.port}" in status.stdout
        assert f"http://127.0.0.1:{gateway.port}/npm/" in _run(file, "client-config", "npm").stdout
        assert "curl" in gateway.request("/").body.decode()


def test_gateway__a_host_that_is_none__is_put_into_no_file(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    everywhere = {"ORCHARD_HOST": "0.0.0.0", "ORCHARD_ANONYMOUS_READ": "true"}  # takes any name for its own
    with running_gateway({**store_settings, **everywhere}, tmp_path) as gateway:
        assert gateway.request("/orchard.pyz", host="packages.example.com").status == 200
        for host in ("'+__import__('os')+'", "user@example.com", "a/b"):
            assert gateway.request("/orchard.pyz", host=host).status == 400, host


def test_archive__same_address_same_bytes__and_one_main(pyz: Path) -> None:
    assert pyz.read_bytes() == archive("http://orchard.example.com:8080")
    assert pyz.read_bytes() != archive("http://orchard.example.com:8081")
    with zipfile.ZipFile(pyz) as content:
        assert content.testzip() is None
        names = content.namelist()
    assert len(names) == len(set(names))
    assert "services/cli/launch.py" not in names
    assert not [name for name in names if name.startswith("services/") and "/cli" not in name][1:]


@pytest.mark.parametrize("client", CLIENTS)
def test_archive__every_client__is_set_up_as_from_a_checkout(client: str, pyz: Path) -> None:
    base = "http://orchard.example.com:8080"
    own = subprocess.run(
        [sys.executable, "-m", "services.cli", "--url", base, "client-config", client],
        cwd=pyz.parent,
        env={"PATH": "/usr/bin:/bin", "HOME": str(pyz.parent), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    done = _run(pyz, "client-config", client)
    assert base in done.stdout + done.stderr, done.stderr
    assert (done.returncode, done.stdout) == (own.returncode, own.stdout)


def test_archive__every_command__imports(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as content:
        names = [each.removesuffix(".py").replace("/", ".") for each in content.namelist()]
    names = [each for each in names if each.startswith("services.cli.commands.")]
    assert len(names) > 15
    code = f"import sys; sys.path.insert(0, 'orchard.pyz')\nimport {', '.join(names)}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=pyz.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_archive__a_variable_or_an_option__names_another_orchard(pyz: Path) -> None:
    said = _run(pyz, "client-config", "npm", ORCHARD_URL="http://other.example.com")
    assert "http://other.example.com/npm/" in said.stdout
    said = _run(pyz, "--url", "http://third.example.com", "client-config", "npm")
    assert "http://third.example.com/npm/" in said.stdout


def test_archive__nobody_at_its_address__says_which_address_and_how_to_name_another(pyz: Path) -> None:
    pyz.write_bytes(archive("http://127.0.0.1:9"))
    said = _run(pyz, "status")
    assert said.returncode == 3
    assert "http://127.0.0.1:9" in said.stderr
    assert "the address that orchard.pyz came from; ORCHARD_URL names another" in said.stderr


def test_archive__has_no_server__and_says_what_has_one(pyz: Path) -> None:
    said = _run(pyz, "up")
    assert (said.returncode, "Install the wheel of `make wheel`" in said.stderr) == (1, True)
    assert _run(pyz, "--version").stdout == f"orchard {VERSION}\n"
