"""Real clients: what they take of a moment is what they take by their own option for it, and what they
installed in a recorded build they install again from its list alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.builds.sessions import MOST_OF_ONE
from tests.clients import node
from tests.clients.conftest import Tools
from tests.clients.jvm import maven_command
from tests.firewall.shelves import DAY, Npm, PyPI, Shelf, moment
from tests.support.builders import build_wheel
from tests.support.maven_builders import build_pom
from tests.support.orchard import Cluster
from tests.support.upstream import Upstream
from tests.views.conftest import TOKEN, NewShelf

BIN = Path(sys.executable).parent
AGES = {"1.0.0": 300 * DAY, "1.1.0": 200 * DAY, "2.0.0": 100 * DAY, "2.1.0": DAY}


def run(command: Sequence[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "LANG": "C.UTF-8",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **more,
    }
    return subprocess.run(list(command), cwd=folder, env=env, capture_output=True, text=True, timeout=180)


def needs(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")


@pytest.mark.parametrize("days", [250.0, 150.0, 50.0, 0.7])
def test_uv__resolves_as_with_its_own_exclude_newer(shelf: NewShelf, tmp_path: Path, days: float) -> None:
    low, top = shelf("pypi"), shelf("pypi")
    assert isinstance(top, PyPI)
    low.put(AGES)
    for version in AGES:
        top.data[version] = build_wheel(top.name, version, requires=[f"{low.name}>=1.0"])
    top.put({version: age - DAY / 2 for version, age in AGES.items()})
    then, orchard = moment(days * DAY), low.orchard

    def lock(view: str, *options: str) -> str:
        index = orchard.url(f"{view}/pypi/simple/")
        (tmp_path / "in.txt").write_text(top.name)
        uv = ["uv", "pip", "compile", "-q", "--no-cache", "--no-config", "--no-header", "--no-annotate"]
        done = run([*uv, "--generate-hashes", "--default-index", index, *options, "in.txt"], tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert lock(f"/v/at-{then}") == lock("", "--exclude-newer", then)


@pytest.mark.parametrize("days", [250.0, 150.0, 50.0, 0.7])
def test_npm__resolves_as_with_its_own_before(shelf: NewShelf, tmp_path: Path, days: float) -> None:
    needs("npm")
    it = shelf("npm")
    assert isinstance(it, Npm)
    it.put(AGES)
    then, orchard = moment(days * DAY), it.orchard

    def lock(view: str, *options: str) -> Any:
        folder = tmp_path / f"p{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps({"name": "p", "dependencies": {it.name: "*"}}))
        registry = orchard.url(f"{view}/npm/")
        npm = ["npm", "install", "--package-lock-only", "--no-audit", "--no-fund", f"--registry={registry}"]
        done = run([*npm, f"--cache={folder}/cache", *options], folder)
        assert done.returncode == 0, done.stderr
        packages = json.loads((folder / "package-lock.json").read_text())["packages"]
        return {name: (each.get("version"), each.get("integrity")) for name, each in packages.items()}

    assert lock(f"/v/at-{then}") == lock("", f"--before={then}")


Project = Callable[[NewShelf, Path], tuple[list[str], Shelf]]


def _pip(shelf: NewShelf, folder: Path) -> tuple[list[str], Shelf]:
    it = _pypi(shelf)
    return [sys.executable, "-m", "pip", "install", "-q", "--target", "out", it.name], it


def _uv(shelf: NewShelf, folder: Path) -> tuple[list[str], Shelf]:
    it = _pypi(shelf)
    return ["uv", "pip", "install", "-q", "--target", "out", it.name], it


def _pypi(shelf: NewShelf) -> Shelf:
    low, top = shelf("pypi"), shelf("pypi")
    low.put(AGES)
    top.data = {"1.0.0": build_wheel(top.name, "1.0.0", requires=[f"{low.name}>=1.0"])}
    top.put({"1.0.0": DAY})
    return top


def _of_npm(tool: str = "") -> Project:
    def project(shelf: NewShelf, folder: Path) -> tuple[list[str], Shelf]:
        needs("npm")
        it = shelf("npm")
        it.put(AGES)
        (folder / "package.json").write_text(json.dumps({"name": "p", "dependencies": {it.name: "^2.0.0"}}))
        return [*(node.command(tool) if tool else ["npm"]), "install"], it

    return project


def _cargo(shelf: NewShelf, folder: Path) -> tuple[list[str], Shelf]:
    needs("cargo")
    it = shelf("cargo")
    it.put(AGES)
    (folder / "src").mkdir()
    (folder / "src" / "lib.rs").write_text("")
    manifest = '[package]\nname = "p"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n'
    (folder / "Cargo.toml").write_text(f'{manifest}{it.name} = "2"\n')
    return ["cargo", "fetch", "-q"], it


def _mvn(shelf: NewShelf, folder: Path) -> tuple[list[str], Shelf]:
    """An extension is resolved with its dependencies by Maven itself, before any plugin would be."""
    needs("mvn")
    it = shelf("maven")
    it.put(AGES)
    wanted = f"<groupId>org.example</groupId><artifactId>{it.name}</artifactId><version>2.0.0</version>"
    extra = f"<build><extensions><extension>{wanted}</extension></extensions></build>"
    (folder / "pom.xml").write_bytes(build_pom("demo", "p", "1", packaging="pom", extra=extra))
    keep = 'mkdir out && cp -r "${MAVEN_ARGS##*=}" out/'
    return ["sh", "-ec", f"{maven_command('mvn-3.9')} -B -q validate && {keep}"], it


def _gradle(shelf: NewShelf, folder: Path) -> tuple[list[str], Shelf]:
    needs("gradle")
    it = shelf("maven")
    it.put(AGES)
    (folder / "settings.gradle").write_text("rootProject.name = 'p'\n")
    (folder / "build.gradle").write_text(_BUILD % it.name)
    return ["gradle", "--no-daemon", "--console=plain", "-q", "libs"], it


_BUILD = """
configurations { wanted }
repositories { maven { url 'http://packages.example.com/' } }
dependencies { wanted 'org.example:%s:[2.0,3.0)' }
task libs(type: Copy) { from configurations.wanted; into 'out' }
"""


PROJECTS: dict[str, Project] = {
    "pip": _pip,
    "uv": _uv,
    "npm": _of_npm(),
    "pnpm": _of_npm("pnpm-12"),
    "bun": _of_npm("bun-1"),
    "deno": _of_npm("deno-2"),
    "cargo": _cargo,
    "mvn": _mvn,
    "gradle": _gradle,
}


def _tree(folder: Path) -> dict[str, bytes]:
    """What an installation left; not the clients' own records of when and how."""
    passed = {"direct_url.json", ".package-lock.json", "RECORD", "uv_cache.json", "INSTALLER"}
    passed |= {"_remote.repositories", ".modules.yaml", ".pnpm-workspace-state-v1.json"}  # with the time
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in passed and not {"__pycache__", ".gradle"} & set(path.parts)
    }


@pytest.mark.timeout(600)  # three starts of a client, some of which take long
@pytest.mark.parametrize("client", PROJECTS)
def test_recorded_build__again_asking_nobody__the_same_and_nothing_else(
    orchard: Cluster, upstream: Upstream, shelf: NewShelf, tmp_path: Path, client: str
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    command, it = PROJECTS[client](shelf, first)
    second = tmp_path / "second"
    shutil.copytree(first, second)
    known = {"ORCHARD_URL": orchard.gateway.base, "ORCHARD_ADMIN_TOKEN": TOKEN}
    build = ["orchard", "build", "exec", "--json"]
    done = run([*build, "--name", client, "--seal", "--", *command], first, **known)
    assert done.returncode == 0, done.stdout + done.stderr
    sealed = json.loads(done.stdout[done.stdout.index("{") :])
    assert sealed["files"] >= 1 and sealed["missing"] == []
    asked = upstream.count()
    with orchard.client(orchard.cache) as cache:
        cache.flushall()
    again = run([*build, "--build", sealed["id"], "--", *command], second, **known)
    assert again.returncode == 0, again.stdout + again.stderr
    assert _tree(second) == _tree(first)
    assert upstream.count() == asked
    other = shelf(it.protocol)
    other.put(AGES)
    strange = [each.replace(it.name, other.name) for each in command]
    for path in ("package.json", "Cargo.toml", "pom.xml", "build.gradle"):
        if (second / path).exists():
            (second / path).write_text((second / path).read_text().replace(it.name, other.name))
    shutil.rmtree(second / "out", ignore_errors=True)
    refused = run([*build, "--build", sealed["id"], "--", *strange], second, **known)
    assert refused.returncode != 0
    assert orchard.get(f"/v/build-{sealed['id']}{other.page}").status_code == 404


def _installs(tool: str, folder: Path, name: str) -> list[str]:
    """A project that wants it, and what installs that."""
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"name": "p", "dependencies": {name: "2.0.0"}}))
    if tool == "yarn-4":
        (folder / "yarn.lock").write_text("")
        (folder / ".yarnrc.yml").write_text("nodeLinker: node-modules\n")
    return [*node.command(tool), "install"]


def _plain(orchard: Cluster, home: Path) -> dict[str, str]:
    """As a client asks that knows this Orchard, and has a home."""
    url = orchard.url("/npm/")
    names = ("npm_config_registry", "NPM_CONFIG_REGISTRY", "YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER")
    names += ("PNPM_CONFIG_REGISTRY",)
    return {**dict.fromkeys(names, url), "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1", "HOME": str(home)}


NODE_TOOLS = ["npm-10", "npm-11", "npm-12", "pnpm-10", "pnpm-12", "yarn-1", "yarn-4", "bun-1", "deno-2"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tool", NODE_TOOLS)
def test_build_exec__what_the_callers_home_has_already__is_asked_for_all_the_same(
    orchard: Cluster, shelf: NewShelf, tmp_path: Path, tool: str
) -> None:
    needs("npm")
    it, home = shelf("npm"), tmp_path / "home"
    it.put(AGES)
    home.mkdir()
    known = {"ORCHARD_URL": orchard.gateway.base, "HOME": str(home)}
    warm = run(_installs(tool, tmp_path / "warm", it.name), tmp_path / "warm", **_plain(orchard, home))
    assert warm.returncode == 0, warm.stdout + warm.stderr
    command = _installs(tool, tmp_path / "p", it.name)
    done = run(["orchard", "build", "exec", "--json", "--seal", "--", *command], tmp_path / "p", **known)
    assert done.returncode == 0, done.stdout + done.stderr
    sealed = _sealed(done)
    assert sealed["files"] == 1 and sealed["pages"] >= 1, done.stdout + done.stderr


def test_build_exec__a_command_that_fails__leaves_no_build_that_counts(
    orchard: Cluster, tmp_path: Path
) -> None:
    known = {"ORCHARD_URL": orchard.gateway.base, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}

    def build(*words: str) -> subprocess.CompletedProcess[str]:
        return run(["orchard", "build", *words], tmp_path, **known)

    for _ in range(MOST_OF_ONE + 1):
        failed = build("exec", "--", "sh", "-c", "exit 3")
        assert (failed.returncode, "is let go of" in failed.stderr) == (3, True), failed.stderr
    kept = build("exec", "--keep", "--", "false")
    id = kept.stderr.split()[1]
    assert kept.returncode == 1 and build("show", id).returncode == 0
    assert build("drop", id).returncode == 0
    assert build("show", id).returncode == 1
    sealed = json.loads(build("start", "--json").stdout)["id"]
    assert build("seal", sealed).returncode == 0
    refused = build("drop", sealed)
    assert refused.returncode == 1 and "is sealed" in refused.stderr
    assert not list(tmp_path.glob("orchard-build-*"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tool", ["npm-10", "npm-11", "npm-12"])
def test_build_exec__a_lock_with_the_plain_addresses__is_asked_for_in_the_build_and_stays_as_it_is(
    orchard: Cluster, shelf: NewShelf, tmp_path: Path, tool: str
) -> None:
    needs("npm")
    it, home, folder = shelf("npm"), tmp_path / "home", tmp_path / "p"
    it.put(AGES)
    home.mkdir()
    command = _installs(tool, folder, it.name)
    locked = run([*command, "--package-lock-only"], folder, **_plain(orchard, home))
    assert locked.returncode == 0, locked.stdout + locked.stderr
    lock = (folder / "package-lock.json").read_bytes()
    assert orchard.url("/npm/").encode() in lock
    known = {"ORCHARD_URL": orchard.gateway.base, "HOME": str(home)}
    build = ["orchard", "build", "exec", "--json"]
    done = run([*build, "--seal", "--", *command[:-1], "ci"], folder, **known)
    assert done.returncode == 0, done.stdout + done.stderr
    sealed = _sealed(done)
    assert sealed["files"] == 1 and (folder / "package-lock.json").read_bytes() == lock
    again = run([*build, "--build", sealed["id"], "--", *command[:-1], "ci"], folder, **known)
    assert again.returncode == 0, again.stdout + again.stderr
    other = run([*build, "--seal", "--", "true"], folder, **known)
    assert other.returncode == 1 and "sealed and empty" in other.stderr
    empty = _sealed(other)["id"]
    refused = run([*build, "--build", empty, "--", *command[:-1], "ci"], folder, **known)
    assert refused.returncode != 0, "what was not recorded fails"


def _sealed(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What `build exec --json --seal` tells of the build, after what its command said."""
    told, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index('{\n  "id"') :])
    return dict(told)


@pytest.mark.timeout(600)
def test_poetry__whose_project_names_the_build__again_asking_nobody(
    orchard: Cluster, upstream: Upstream, shelf: NewShelf, tmp_path: Path
) -> None:
    it, other = _pypi(shelf), shelf("pypi")
    other.put(AGES)
    known = {"ORCHARD_URL": orchard.gateway.base, "ORCHARD_ADMIN_TOKEN": TOKEN}
    known |= {"POETRY_VIRTUALENVS_IN_PROJECT": "true", "HOME": str(tmp_path)}
    started = run(["orchard", "build", "start", "--json"], tmp_path, **known)
    assert started.returncode == 0, started.stderr
    told = json.loads(started.stdout)
    poetry = Tools.command("poetry")[0]
    words = ["sh", "-ec", f"{poetry} lock -q -n && {poetry} install -q -n"]

    def install(folder: str, project: str, *options: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / folder).mkdir()
        pyproject = POETRY % (project, told["base"])
        (tmp_path / folder / "pyproject.toml").write_text(pyproject)
        build = ["orchard", "build", "exec", "--build", told["id"], *options, "--", *words]
        return run(build, tmp_path / folder, **known)

    def installed(folder: str) -> dict[str, bytes]:
        lock = (tmp_path / folder / "poetry.lock").read_bytes()
        return {"poetry.lock": lock, **_tree(tmp_path / folder / ".venv" / "lib")}

    done = install("first", it.name, "--seal")
    assert done.returncode == 0, done.stdout + done.stderr
    asked = upstream.count()
    again = install("second", it.name)
    assert again.returncode == 0, again.stdout + again.stderr
    assert installed("second") == installed("first") and it.name.encode() in installed("first")["poetry.lock"]
    assert any(it.name.replace("-", "_") in path for path in installed("first"))
    assert install("third", other.name).returncode != 0
    assert upstream.count() == asked


POETRY = """
[project]
name = "p"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["%s>=1.0"]
[tool.poetry]
package-mode = false
[[tool.poetry.source]]
name = "orchard"
priority = "primary"
url = "%s/pypi/simple/"
"""


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_build_exec__callers_variables_name_a_folder_of_newer_wheels__what_the_build_is_given_counts(
    orchard: Cluster, shelf: NewShelf, tmp_path: Path, client: str
) -> None:
    command, it = PROJECTS[client](shelf, tmp_path)
    aside = tmp_path / "aside"
    aside.mkdir()
    name = it.name.replace("-", "_")
    (aside / f"{name}-9.0.0-py3-none-any.whl").write_bytes(build_wheel(it.name, "9.0.0"))
    known = {"ORCHARD_URL": orchard.gateway.base, "PIP_FIND_LINKS": str(aside), "UV_FIND_LINKS": str(aside)}
    done = run(["orchard", "build", "exec", "--seal", "--", *command], tmp_path, **known)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "out").glob(f"{name}-*.dist-info")] == [
        f"{name}-1.0.0.dist-info"
    ]
