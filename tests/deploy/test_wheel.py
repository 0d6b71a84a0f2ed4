"""The wheel: one import name, the command without a dependency, a whole Orchard with the extra; a stranger's
`shared` and `services` beside it disturb neither."""

from __future__ import annotations

import re
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import httpx
import pytest

from shared.version import VERSION
from tests.deploy.wheels import UV, build, checkout, files, run, up
from tests.support.builders import wheel_file
from tests.support.orchard import JSON, free_port, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("clone") / "a clone")


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", clone, tmp_path_factory.mktemp("wheel"))


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as content:
        (name,) = [each for each in content.namelist() if each.endswith(".dist-info/METADATA")]
        return message_from_string(content.read(name).decode())


def test_wheel__holds_one_import_name_and_the_whole_tree_below_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    assert {name.partition("/")[0] for name in names} == {
        "orchard_proxy",
        f"orchard_proxy-{VERSION}.dist-info",
        f"orchard_proxy-{VERSION}.data",
    }
    tree = {name for name in files() if name.startswith(("shared/", "services/"))}
    no_code = {
        name
        for name in tree
        if re.search(r"/(README\.md|Dockerfile|requirements\.(in|txt)|launch\.py)$", name)
    }
    assert sorted({f"orchard_proxy/tree/{name}" for name in tree - no_code} - names) == []
    assert "orchard_proxy/tree/__init__.py" not in names
    documents = {name for name in files() if re.fullmatch(r"docs/[^/]+\.md", name)}
    shown = {name for name in names if name.startswith("orchard_proxy/tree/docs/")}
    assert documents and shown == {f"orchard_proxy/tree/{name}" for name in documents}


def test_wheel__needs_nothing__and_what_is_tested_as_the_extra(wheel: Path) -> None:
    metadata = _metadata(wheel)
    assert (metadata["Name"], metadata["Version"]) == ("orchard-proxy", VERSION)
    assert metadata["License-Expression"] == "Apache-2.0"
    wanted = metadata.get_all("Requires-Dist") or []
    assert [each for each in wanted if not re.search(r"; .*extra == 'server'", each)] == []
    pin = re.compile(r"^([a-z0-9._-]+==[^ ;\\]+)", re.MULTILINE)
    pins = pin.findall((ROOT / "services" / "standalone" / "requirements.txt").read_text())
    assert sorted(each.partition(";")[0].strip() for each in wanted) == sorted(pins)


def test_source_distribution__builds_the_same_wheel(clone: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", clone, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / f"orchard_proxy-{VERSION}", tmp_path / "again")
    assert again.read_bytes() == wheel.read_bytes()


def _environment(wheel: Path, folder: Path) -> Path:
    """The `bin` of an environment with the wheel and nothing else."""
    python = folder / "venv" / "bin" / "python"
    for command in (
        (UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"),
        (UV, "pip", "install", "--quiet", "--offline", "--no-index", "--python", python, wheel),
    ):
        done = run(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    return python.parent


def _site_packages(binaries: Path) -> Path:
    (found,) = binaries.parent.glob("lib/python*/site-packages")
    return found


def _put_strangers(folder: Path) -> None:
    """Packages of the same names, that no process of ours survives the import of."""
    for name in ("shared", "services"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"MINE = '{name}'\n")
        (folder / name / "version.py").write_text("raise SystemExit('a stranger was imported')\n")


def test_command__without_extras__beside_strangers_in_every_place(wheel: Path, tmp_path: Path) -> None:
    binaries = _environment(wheel, tmp_path)
    _put_strangers(_site_packages(binaries))
    _put_strangers(tmp_path / "theirs")
    _put_strangers(tmp_path / "here")
    for words in ((binaries / "orchard",), (binaries / "python", "-m", "orchard_proxy")):
        done = run(*words, "--version", cwd=tmp_path / "here", PYTHONPATH=str(tmp_path / "theirs"))
        assert done.stdout == f"orchard {VERSION}\n", done.stderr
    shown = run(binaries / "orchard", "client-config", "npm", cwd=tmp_path / "here")
    assert "http://127.0.0.1:8080/npm/" in shown.stdout
    theirs = "import shared, services, orchard_proxy; print(shared.MINE, services.MINE)"
    done = run(binaries / "python", "-P", "-c", theirs, cwd=tmp_path)
    assert done.stdout == "shared services\n", done.stderr
    assert (binaries.parent / "share" / "man" / "man1" / "orchard.1").is_file()


def test_up__without_the_extra__gives_the_line_that_brings_it(wheel: Path, tmp_path: Path) -> None:
    done = run(_environment(wheel, tmp_path) / "orchard", "up", cwd=tmp_path)
    assert done.returncode == 1
    assert f"pip install 'orchard-proxy[server] @ {wheel.as_uri()}'" in done.stderr


@pytest.mark.slow
def test_up__with_strangers_beside_it__serves_and_reads_a_wheel__and_keeps_its_data_at_home(
    wheel: Path, tmp_path: Path
) -> None:
    binaries = _environment(wheel, tmp_path)
    packages = _site_packages(binaries)
    _put_strangers(packages)
    _put_strangers(tmp_path / "theirs")
    # The extra's packages are those of the environment that runs the tests.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    home = tmp_path / "home"
    _put_strangers(home)
    before = sorted(path for path in packages.rglob("*") if "__pycache__" not in path.parts)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with Upstream() as upstream:
        file = wheel_file("in-a-wheel", "1.0", requires=["other>=2"])
        upstream.add_project("in-a-wheel", {file.filename: file.content})
        settings = {
            "ORCHARD_PORT": str(port),
            "ORCHARD_OFFLINE": "false",
            "PYTHONPATH": str(tmp_path / "theirs"),
            **{
                f"ORCHARD_{name}_UPSTREAM": f"{upstream.url}/{path}/"
                for name, path in (("PYPI", "simple"), ("NPM", "npm"), ("MAVEN", "maven"), ("CARGO", "cargo"))
            },
        }
        with up(binaries, home, **settings), httpx.Client(trust_env=False, timeout=30) as client:
            page = client.get(f"{base}/pypi/simple/in-a-wheel/", headers={"accept": JSON})
            (listed,) = page.json()["files"]
            got = client.get(httpx.URL(str(page.url)).join(listed["url"]))
            assert got.content == file.content
            sha256 = listed["hashes"]["sha256"]

            def read() -> bool:
                answer = client.get(f"{base}/api/v1/artifacts/{sha256}/dependencies")
                return answer.status_code == 200 and "other" in answer.text

            wait_until(read, seconds=60, what="the sandboxed child's answer")
            assert client.get(f"{base}/health").json()["version"] == VERSION
            assert client.get(f"{base}/orchard.pyz").content[:2] == b"#!"
            status = run(binaries / "orchard", "status", cwd=home, ORCHARD_PORT=str(port))
            assert status.returncode in (0, 6), status.stderr
    assert (home / ".local" / "share" / "orchard" / "postgres").is_dir()
    assert sorted(path for path in packages.rglob("*") if "__pycache__" not in path.parts) == before
