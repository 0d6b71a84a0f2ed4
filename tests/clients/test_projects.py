"""Project tools with lock files: what README says of uv.lock, poetry.lock and trusted-host, run."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.clients.conftest import Tools
from tests.support.orchard import Cluster

PYPROJECT = """\
[project]
name = "demo"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["orchard-app[more]"]
"""


def test_uv_lock_and_sync__default_index_in_pyproject(orchard: Cluster, tools: Tools, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    index = f'[[tool.uv.index]]\nurl = "{orchard.url("/pypi/simple/")}"\ndefault = true\n'
    (folder / "pyproject.toml").write_text(PYPROJECT + index)
    python = tools.command("pip-newest")[0]
    done = tools.run([*tools.command("uv"), "sync", "--python", python], cwd=folder)
    assert done.returncode == 0, done.stderr
    lock = (folder / "uv.lock").read_text()
    assert orchard.url("/pypi/") in lock, "uv.lock records the index it was made with"
    assert 'name = "orchard-leaf"' in lock
    shutil.rmtree(folder / ".venv")
    tools.forget()
    again = tools.run([*tools.command("uv"), "sync", "--frozen", "--python", python], cwd=folder)
    assert again.returncode == 0, again.stderr


def test_uv_lock__made_with_another_address__relocked_by_the_documented_command(
    orchard: Cluster, tools: Tools, tmp_path: Path
) -> None:
    """A lock file names addresses: after moving to Orchard, `uv lock` rewrites them and keeps versions."""
    folder = tmp_path / "demo"
    folder.mkdir()
    python = tools.command("pip-newest")[0]
    upstream = f'[[tool.uv.index]]\nurl = "{orchard.upstream.url}/simple/"\ndefault = true\n'
    ours = f'[[tool.uv.index]]\nurl = "{orchard.url("/pypi/simple/")}"\ndefault = true\n'
    (folder / "pyproject.toml").write_text(PYPROJECT + upstream)
    assert tools.run([*tools.command("uv"), "lock", "--python", python], cwd=folder).returncode == 0
    (folder / "pyproject.toml").write_text(PYPROJECT + ours)
    done = tools.run([*tools.command("uv"), "lock", "--python", python], cwd=folder)
    assert done.returncode == 0, done.stderr
    lock = (folder / "uv.lock").read_text()
    assert orchard.upstream.url not in lock
    assert orchard.url("/pypi/") in lock


def test_uv_exclude_newer__upload_times_absent__says_so_rather_than_guessing(
    orchard: Cluster, tools: Tools, tmp_path: Path
) -> None:
    command = [
        *tools.command("uv"),
        "pip",
        "install",
        "--no-config",
        "--python",
        tools.command("pip-newest")[0],
    ]
    command += ["--default-index", orchard.url("/pypi/simple/"), "--target", str(tmp_path / "out")]
    done = tools.run([*command, "--exclude-newer", "2020-01-01", "orchard-leaf"])
    assert done.returncode != 0


def test_poetry_install__primary_source__lock_then_install(
    orchard: Cluster, tools: Tools, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT + "\n[tool.poetry]\npackage-mode = false\n")
    source = [*tools.command("poetry"), "source", "add", "--priority=primary", "orchard"]
    assert tools.run([*source, orchard.url("/pypi/simple/")], cwd=folder).returncode == 0
    done = tools.run([*tools.command("poetry"), "lock"], cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lock = (folder / "poetry.lock").read_text()
    assert 'name = "orchard-leaf"' in lock
    assert 'reference = "orchard"' in lock
    done = tools.run([*tools.command("poetry"), "install", "--no-interaction"], cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pip__plain_http_on_another_host__needs_trusted_host(
    orchard: Cluster, tools: Tools, tmp_path: Path
) -> None:
    """pip skips plain-http indexes that are not local, unless `trusted-host` names them (README).

    The host name resolves to nothing here: what counts is that pip refuses before it connects, and
    with the option tries to connect.
    """
    index = f"http://orchard.example.com:{orchard.gateway.port}/pypi/simple/"
    base = [*tools.command("pip-newest"), "install", "--retries", "0", "--timeout", "2", "--index-url", index]
    base += ["--target", str(tmp_path / "out"), "orchard-leaf"]
    refused = tools.run(base)
    assert "not a trusted or secure host" in refused.stdout + refused.stderr
    allowed = tools.run([*base, "--trusted-host", "orchard.example.com"])
    assert "not a trusted or secure host" not in allowed.stdout + allowed.stderr
