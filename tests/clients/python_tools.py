"""pdm, hatch and pipx as the tests run them, and what they install: an application of four packages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.clients.conftest import Tools
from tests.support.builders import build_wheel
from tests.support.upstream import Upstream

PYPROJECT = '[project]\nname = "demo"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'


class Project(ABC):
    """A folder in which a tool has installed the application of a stem, or is to."""

    line: ClassVar[str] = r"pip config set global\.index-url [^\s`]+"
    """How the README has it set up."""
    lock: ClassVar[str] = ""

    def __init__(self, tools: Tools, folder: Path, stem: str) -> None:
        folder.mkdir()
        self.tools, self.folder, self.stem = tools, folder, stem
        module = stem.replace("-", "_")
        self.expected = {
            f"{module}_app-1.0",
            f"{module}_lib-1.1",
            f"{module}_leaf-2.0",
            f"{module}_extra-0.1",
        }

    @staticmethod
    def environment(tools: Tools) -> dict[str, str]:
        """In which its own files are read, and nobody else is asked."""
        env = tools.environment(PDM_CHECK_UPDATE="false")
        del env["PIP_CONFIG_FILE"]
        return env

    @abstractmethod
    def install(self, env: Mapping[str, str]) -> None:
        """Fails the test if the client fails."""

    def locked(self, env: Mapping[str, str]) -> None:
        """Install by the lock, which is made where there is none."""
        raise NotImplementedError

    @abstractmethod
    def installed(self) -> set[str]:
        """The distributions, as name-version."""

    def run(self, tool: str, *words: str, env: Mapping[str, str]) -> None:
        done = self.tools.run([*self.tools.command(tool), *words], cwd=self.folder, env=env)
        assert done.returncode == 0, done.stdout + done.stderr

    def found(self, pattern: str) -> set[str]:
        found = self.folder.glob(f"{pattern}/site-packages/*.dist-info")
        return {each.name.removesuffix(".dist-info") for each in found}


class Pdm(Project):
    line, lock = r"pdm config pypi\.url [^\s`]+", "pdm.lock"

    def __init__(self, tools: Tools, folder: Path, stem: str) -> None:
        super().__init__(tools, folder, stem)
        wanted = f'dependencies = ["{stem}-app[more]"]\n[tool.pdm]\ndistribution = false\n'
        (folder / "pyproject.toml").write_text(PYPROJECT + wanted)

    def install(self, env: Mapping[str, str]) -> None:
        self.run("pdm", "install", env=env)

    def locked(self, env: Mapping[str, str]) -> None:
        self.run(
            "pdm", "install", *(["--frozen-lockfile"] if (self.folder / self.lock).exists() else []), env=env
        )

    def installed(self) -> set[str]:
        return self.found(".venv/lib/*")


class Hatch(Project):
    lock = "pylock.toml"

    def __init__(self, tools: Tools, folder: Path, stem: str) -> None:
        super().__init__(tools, folder, stem)
        wanted = f'[tool.hatch.envs.default]\ndetached = true\ndependencies = ["{stem}-app[more]"]\n'
        (folder / "pyproject.toml").write_text(PYPROJECT + wanted)

    def install(self, env: Mapping[str, str]) -> None:
        self.run("hatch", "--data-dir", str(self.folder / "data"), "env", "create", env=env)

    def locked(self, env: Mapping[str, str]) -> None:
        """By uv: hatch applies no locks by pip."""
        project = self.folder / "pyproject.toml"
        project.write_text(project.read_text() + 'locked = true\ninstaller = "uv"\n')
        variables = {**env, "UV_DEFAULT_INDEX": _index_of(env)}
        self.install(variables)

    def installed(self) -> set[str]:
        return {each for each in self.found("data/**") if not each.startswith(("pip-", "setuptools-"))}


class Pipx(Project):
    def install(self, env: Mapping[str, str]) -> None:
        home = {"PIPX_HOME": str(self.folder / "pipx"), "PIPX_BIN_DIR": str(self.folder / "bin")}
        home["PIPX_SHARED_LIBS"] = env["HOME"] + "/shared"  # its own pip, brought up to date once
        self.run("pipx", "install", f"{self.stem}-app[more]", env={**env, **home})
        done = self.tools.run([str(self.folder / "bin" / f"{self.stem}-app")], env=env)
        assert done.stdout == "1.0\n", done.stderr

    def installed(self) -> set[str]:
        return self.found("pipx/venvs/*/lib/*")


KINDS: Mapping[str, type[Project]] = {"pdm": Pdm, "hatch": Hatch, "pipx": Pipx}
"""By their command."""


def _index_of(env: Mapping[str, str]) -> str:
    """The index that pip is set up for."""
    text = (Path(env["HOME"]) / ".config" / "pip" / "pip.conf").read_text()
    return text.partition("index-url = ")[2].strip()


def publish_app(server: Upstream, stem: str) -> list[str]:
    """An application with a command, two libraries and an extra; the paths of its files."""
    module = stem.replace("-", "_")
    script = f"[console_scripts]\n{stem}-app = {module}_app:main\n".encode()
    main = b"__version__ = '1.0'\ndef main():\n    print(__version__)\n"
    wheels = {
        "app-1.0": build_wheel(
            f"{stem}-app",
            "1.0",
            requires=[f"{stem}-lib>=1.0", f'{stem}-extra; extra == "more"'],
            extras=["more"],
            members={
                f"{module}_app/__init__.py": main,
                f"{module}_app-1.0.dist-info/entry_points.txt": script,
            },
        ),
        "lib-1.1": build_wheel(f"{stem}-lib", "1.1", requires=[f"{stem}-leaf"]),
        "leaf-2.0": build_wheel(f"{stem}-leaf", "2.0", size_bytes=500_000),
        "extra-0.1": build_wheel(f"{stem}-extra", "0.1"),
    }
    paths = []
    for name, data in wheels.items():
        project, file = f"{stem}-{name.partition('-')[0]}", f"{module}_{name}-py3-none-any.whl"
        server.add_project(project, {file: data})
        paths.append(f"/files/{project}/{file}")
    return paths


def publish_pip(server: Upstream) -> None:
    """pipx brings its own pip up to date before it installs anything: the newest one, made a wheel again."""
    site = Path(Tools.command("pip-newest")[0]).parents[1] / "lib"
    (info,) = site.glob("python*/site-packages/pip-*.dist-info")
    version = info.name.removeprefix("pip-").removesuffix(".dist-info")
    members = {
        str(path.relative_to(info.parent)): path.read_bytes()
        for path in (info.parent / "pip").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wheel = build_wheel("pip", version, metadata=(info / "METADATA").read_bytes(), members=members)
    server.add_project("pip", {f"pip-{version}-py3-none-any.whl": wheel})
