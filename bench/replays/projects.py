"""The projects: small ones of the kinds that people have, each with 50 dependencies or more."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.replays import java, node

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".cache" / "clients"


class Project(msgspec.Struct, frozen=True):
    """What is built. `files` are made of the dependencies and of the address of the build."""

    name: str
    client: str
    dependencies: Sequence[str]
    strange: str  # one more of them, which the recorded build never asked for
    files: Callable[[Sequence[str], str], Mapping[str, str]]
    script: str  # of sh, in the project's folder
    count: Callable[[Path], int]  # dependencies that are installed or locked there
    needs: Sequence[str]  # programs
    environment: Mapping[str, str] = {}

    @property
    def strangers_name(self) -> str:
        """As its client would name it."""
        parts = self.strange.removeprefix("npm:").partition(" ")[0].partition("@")[0].split(":")
        return parts[1] if len(parts) > 1 else parts[0]

    @property
    def lacking(self) -> str:
        """The program that is not here, if any."""
        return next((each for each in self.needs if shutil.which(each) is None), "")


def _requirements(dependencies: Sequence[str], base: str) -> dict[str, str]:
    return {"requirements.txt": "\n".join(dependencies) + "\n"}


def _uv_project(dependencies: Sequence[str], base: str) -> dict[str, str]:
    return {"pyproject.toml": _pyproject(">=3.11", dependencies) + "[tool.uv]\npackage = false\n"}


def _poetry_project(dependencies: Sequence[str], base: str) -> dict[str, str]:
    text = _pyproject(">=3.11,<4", dependencies) + "[tool.poetry]\npackage-mode = false\n"
    text += f'[[tool.poetry.source]]\nname = "orchard"\npriority = "primary"\nurl = "{base}/pypi/simple/"\n'
    return {"pyproject.toml": text}


def _pyproject(python: str, dependencies: Sequence[str]) -> str:
    head = f'[project]\nname = "app"\nversion = "1"\nrequires-python = "{python}"\n'
    return f"{head}dependencies = {json.dumps(list(dependencies), indent=2)}\n"


def _cargo_project(dependencies: Sequence[str], base: str) -> dict[str, str]:
    head = '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n'
    return {"Cargo.toml": head + "\n".join(dependencies) + "\n", "src/main.rs": "fn main() {}\n"}


def _mixed_project(dependencies: Sequence[str], base: str) -> dict[str, str]:
    python = [each for each in dependencies if not each.startswith("npm:")]
    modules = [each.removeprefix("npm:") for each in dependencies if each.startswith("npm:")]
    return _requirements(python, base) | node.package(modules, base)


def _distributions(folder: Path) -> int:
    return len({path.name for path in folder.rglob("*.dist-info")})


def _crates(folder: Path) -> int:
    return len(tomllib.loads((folder / "Cargo.lock").read_text())["package"]) - 1


def _mixed(folder: Path) -> int:
    return _distributions(folder) + node.npm_count(folder)


_PIP = f"{sys.executable} -m pip install -q --no-input --no-compile --target out -r requirements.txt"
_UV = str(Path(sys.executable).parent / "uv")
_UV_INSTALL = f"{_UV} pip install -q --python {sys.executable} --target out -r requirements.txt"

_POETRY = f"{TOOLS}/poetry/bin/poetry"
_PNPM = f"{TOOLS}/pnpm-10/node_modules/.bin/pnpm"
_YARN = f"{TOOLS}/yarn-4/node_modules/.bin/yarn"
_MVN = f"{TOOLS}/mvn-3.9/bin/mvn"

PROJECTS: tuple[Project, ...] = (
    Project(
        "FastAPI service",
        "pip",
        (
            "fastapi[standard]", "sqlalchemy[asyncio]", "alembic", "boto3", "celery[redis]",
            "pydantic-settings", "psycopg[binary]", "structlog", "sentry-sdk", "opentelemetry-sdk", "docopt",
        ),
        "humanize",
        _requirements,
        _PIP,
        _distributions,
        (),
    ),
    Project(
        "Notebooks",
        "uv",
        ("jupyterlab", "pandas", "matplotlib", "scikit-learn", "ipywidgets"),
        "humanize",
        _uv_project,
        f"{_UV} sync -q --python {sys.executable}",
        _distributions,
        (),
    ),
    Project(
        "Django site",
        "poetry",
        (
            "django (>=5,<6)", "djangorestframework", "drf-spectacular", "django-allauth[socialaccount]",
            "celery[redis]", "boto3", "django-storages", "pillow", "gunicorn", "sentry-sdk", "pytest-django",
            "black", "mypy", "django-debug-toolbar", "psycopg[binary]", "ipython",
        ),
        "humanize",
        _poetry_project,
        f"{_POETRY} lock -n && {_POETRY} install -n",
        _distributions,
        (_POETRY,),
        {"POETRY_VIRTUALENVS_IN_PROJECT": "true"},
    ),
    Project(
        "Express service",
        "npm",
        ("express@^5", "eslint@^9", "zod@^3", "pino@^9", "knex@^3", "vitest@^3", "helmet@^8"),
        "left-pad@1.3.0",
        node.package,
        "npm install --no-fund --no-audit --ignore-scripts",
        node.npm_count,
        ("npm",),
    ),
    Project(
        "React front end",
        "pnpm",
        (
            "react@^19", "react-dom@^19", "vite@^7", "@vitejs/plugin-react@^5", "typescript@^5", "eslint@^9",
            "react-router@^7", "@tanstack/react-query@^5",
        ),
        "left-pad@1.3.0",
        node.vite_app,
        f"{_PNPM} install --reporter append-only && node_modules/.bin/vite build -l error",
        node.pnpm_count,
        ("node", _PNPM),
    ),
    Project(
        "Webpack bundle",
        "yarn 4",
        ("webpack@^5", "webpack-cli@^6", "@babel/core@^7", "@babel/preset-env@^7", "jest@^29"),
        "left-pad@1.3.0",
        node.package,
        f"{_YARN} install",
        node.yarn_count,
        ("node", _YARN),
        {
            "YARN_NODE_LINKER": "node-modules", "YARN_ENABLE_SCRIPTS": "false", "YARN_ENABLE_TELEMETRY": "0",
            "YARN_ENABLE_IMMUTABLE_INSTALLS": "false",  # there is no lock yet
        },
    ),
    Project(
        "Spring Boot service",
        "mvn",
        tuple(f"org.springframework.boot:{each}" for each in java.STARTERS),
        "joda-time:joda-time:2.12.7",
        java.maven_project,
        f"{_MVN} -B -q package",
        java.packed,
        ("java", _MVN),
    ),
    Project(
        "Spring Boot service",
        "Gradle",
        tuple(f"org.springframework.boot:{each}:{java.VERSION}" for each in java.STARTERS),
        "joda-time:joda-time:2.12.7",
        java.gradle_project,
        "gradle --no-daemon --console=plain -q assemble libs",
        java.libraries,
        ("java", "gradle"),
    ),
    Project(
        "axum service",
        "cargo",
        (
            'axum = "0.8"', 'tokio = { version = "1", features = ["full"] }', 'reqwest = "0.12"',
            'serde = { version = "1", features = ["derive"] }', 'serde_json = "1"',
            'tracing-subscriber = "0.3"',
        ),
        'hex-literal = "0.4"',
        _cargo_project,
        "cargo fetch -q",
        _crates,
        ("cargo",),
    ),
    Project(
        "Flask behind Svelte",
        "uv, npm",
        (
            "flask", "flask-sqlalchemy", "flask-login", "gunicorn", "requests", "redis", "npm:svelte@^5",
            "npm:vite@^7", "npm:@sveltejs/vite-plugin-svelte@^6", "npm:eslint@^9",
        ),
        "npm:left-pad@1.3.0",
        _mixed_project,
        f"{_UV_INSTALL} && npm install --no-fund --no-audit --ignore-scripts",
        _mixed,
        ("npm",),
    ),
)  # fmt: skip
