"""pip, uv, poetry, pdm, hatch and pipx.

For the `orchard` command: the standard library and shared.clientfiles alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.clientfiles.lines import get_ini, set_ini
from shared.clientfiles.setup import (
    NAME,
    CannotEdit,
    ClientSetup,
    Configure,
    FileEdit,
    NotPossible,
    Setup,
    Surroundings,
    set_now,
    told_by,
)
from shared.clientfiles.toml import put_table, read_keys, read_tables, set_keys

_PIP_BESIDE = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX")
_UV_BESIDE = (
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_CONFIG_FILE",
)
"""What these name is asked beside an index, or instead of it."""
_OTHERWISE = ("PIP_PROXY", "UV_TORCH_BACKEND", "UV_EXCLUDE_NEWER")
"""These have a build get other things than its index gives."""


def pip(setup: Setup) -> ClientSetup:
    """`index-url` of [global] in pip.conf, of the user or of the active virtual environment."""

    def edit(text: str) -> str:
        values = {"index-url": [_url(setup)]}
        if setup.is_plain_and_remote:  # pip passes over an index without TLS unless told to trust it
            known = get_ini(text, "global", "trusted-host")
            values["trusted-host"] = known if setup.host in known else [*known, setup.host]
        return set_ini(text, "global", values)

    path = _pip_path(setup)
    notes = [*_past_pip(path), *set_now(setup, "PIP_INDEX_URL", *_PIP_BESIDE)]
    if setup.environ.get("PIP_CONFIG_FILE") == os.devnull:
        notes.append(f"PIP_CONFIG_FILE is {os.devnull} now: pip reads no file at all.")
    variables = []
    if setup.token:
        scheme, _, rest = _url(setup).partition("://")
        variables = [f'export PIP_INDEX_URL="{scheme}://{NAME}:${{ORCHARD_TOKEN}}@{rest}"']
        notes.append("pip's file cannot name a variable: the token goes into the variable above.")
    return ClientSetup((FileEdit(path, edit),), tuple(variables), tuple(notes))


def _past_pip(path: Path) -> list[str]:
    notes = []
    for section in ("global", "install", "download", "wheel", "lock"):

        def has(key: str, section: str = section) -> bool:
            return bool(told_by(path, lambda text: get_ini(text, section, key)))

        notes += [
            f"{path} has {key} in [{section}]: it stays active beside Orchard and lets"
            " packages come past it. Remove it."
            for key in ("extra-index-url", "find-links")
            if has(key)
        ]
        if section != "global" and has("index-url"):
            notes.append(f"{path} has an index-url in [{section}], which wins over this one. Remove it.")
        if has("no-index"):
            notes.append(f"{path} has no-index in [{section}]: no index is asked at all where it is true.")
    return notes


def _pip_path(setup: Setup) -> Path:
    if setup.project:
        venv = setup.environ.get("VIRTUAL_ENV", "")
        if not venv:
            raise NotPossible(
                "pip has no file of a project",
                "Activate a virtual environment: --project writes its pip.conf. Or leave --project out.",
            )
        return Path(venv) / "pip.conf"
    named = setup.environ.get("PIP_CONFIG_FILE", "")
    return Path(named) if named and named != os.devnull else setup.config_home / "pip" / "pip.conf"


def uv(setup: Setup) -> ClientSetup:
    """A default index named "orchard" in uv.toml, or in the project's pyproject.toml."""
    path, table = setup.config_home / "uv" / "uv.toml", "index"
    if setup.project:
        path = setup.folder / "uv.toml"  # where there is one, uv does not look into pyproject.toml
        if not path.exists() and (setup.folder / "pyproject.toml").exists():
            path, table = setup.folder / "pyproject.toml", "tool.uv.index"

    def edit(text: str) -> str:
        for each in read_tables(text, table):
            if each.get("default") is True and each.get("name") != NAME:
                raise CannotEdit(
                    f"another index is the default: {each.get('name') or 'one without a name'}",
                    "uv allows one: remove `default = true` there.",
                )
        return put_table(text, table, NAME, {"url": _url(setup), "default": True})

    notes = [
        f"the index {each.get('name') or each.get('url')} is asked before Orchard."
        for each in _tables(path, table)
        if each.get("name") != NAME
    ]
    notes += _past_uv(path, table.removesuffix("index").removesuffix("."))
    if not setup.project:
        for here, prefix in ((setup.folder / "uv.toml", ""), (setup.folder / "pyproject.toml", "tool.uv")):
            keys = _keys(here, prefix)
            if here != path and {"index", "index-url", "extra-index-url", "pip"} & keys.keys():
                notes.append(f"{here} has indexes of its own, which count before your own file, here.")
    notes += set_now(setup, "UV_DEFAULT_INDEX", "UV_NO_CONFIG", *_UV_BESIDE)
    return ClientSetup((FileEdit(path, edit),), _basic(setup, f"UV_INDEX_{NAME.upper()}"), tuple(notes))


def _past_uv(path: Path, prefix: str) -> list[str]:
    notes = []
    for table in (prefix, f"{prefix}.pip".removeprefix(".")):
        keys = _keys(path, table)
        where = f" in [{table}]" if table else ""
        notes += [
            f"{path} has {key}{where}: it stays active beside Orchard and lets packages come past it."
            " Remove it."
            for key in ("index-url", "extra-index-url", "find-links")
            if keys.get(key)
        ]
        if keys.get("no-index"):
            notes.append(f"{path} has no-index{where}: no index is asked at all.")
    return notes


def poetry(setup: Setup) -> ClientSetup:
    """A primary source named "orchard" in the project's pyproject.toml; poetry has no other place."""

    def edit(text: str) -> str:
        return put_table(text, "tool.poetry.source", NAME, {"url": _url(setup), "priority": "primary"})

    path = setup.folder / "pyproject.toml"
    notes = ["poetry.lock names its source: run `poetry lock` once after this."]
    notes += [
        f"the source {each.get('name')} stays beside Orchard."
        for each in _tables(path, "tool.poetry.source")
        if each.get("name") != NAME
    ]
    variables = _basic(setup, f"POETRY_HTTP_BASIC_{NAME.upper()}")
    where = "poetry has a source in a project's pyproject.toml alone: run this in the project's folder."
    return ClientSetup((FileEdit(path, edit, where),), variables, tuple(notes))


def pdm(setup: Setup) -> ClientSetup:
    """`url` of [pypi] in the user's config.toml, or in the project's pdm.toml."""
    named = setup.environ.get("PDM_CONFIG_FILE", "")
    path = Path(named) if named else setup.config_home / "pdm" / "config.toml"
    if setup.project:
        path = setup.folder / "pdm.toml"

    def edit(text: str) -> str:
        values: dict[str, str | bool] = {"url": _url(setup)}
        if setup.is_plain_and_remote:  # pdm passes over an index without TLS unless told not to mind
            values["verify_ssl"] = False
        return set_keys(text, "pypi", values)

    sources = _tables(setup.folder / "pyproject.toml", "tool.pdm.source")
    notes = [f"the source {each.get('name')} of pyproject.toml stays, beside Orchard." for each in sources]
    for name, each in _keys(path, "pypi").items():
        if isinstance(each, dict) and each.get("url"):  # a table of [pypi] is a further index
            notes.append(f"{path} has the index {name}: it stays, beside Orchard.")
    notes += set_now(setup, "PDM_PYPI_URL")
    return ClientSetup((FileEdit(path, edit),), _basic(setup, "PDM_PYPI"), tuple(notes))


def over_pip_or_uv(setup: Setup) -> ClientSetup:
    """hatch and pipx run pip, or uv where they are told to or find one: both are set up."""
    if setup.project:
        raise NotPossible("this is a setting of the user, not of a project", "Leave --project out.")
    one, other = pip(setup), uv(setup)
    notes = (*one.notes, *other.notes)
    return ClientSetup((*one.files, *other.files), (*one.variables, *other.variables), notes)


def _keys(path: Path, table: str) -> dict[str, Any]:
    return told_by(path, lambda text: read_keys(text, table)) or {}


def _tables(path: Path, table: str) -> list[dict[str, Any]]:
    return told_by(path, lambda text: read_tables(text, table)) or []


def _basic(setup: Setup, name: str) -> tuple[str, ...]:
    if not setup.token:
        return ()
    return (f"export {name}_USERNAME={NAME}", f'export {name}_PASSWORD="$ORCHARD_TOKEN"')


def _url(setup: Setup) -> str:
    return f"{setup.base}/pypi/simple/"


def surroundings(setup: Setup) -> Surroundings:
    """pip, uv, pdm, and what runs them. poetry takes its sources from its project alone, but has an empty
    cache as they have."""
    url = _url(setup)
    if setup.token:
        scheme, _, rest = url.partition("://")
        url = f"{scheme}://{NAME}:{setup.environ['ORCHARD_TOKEN']}@{rest}"
    variables = {
        "PIP_INDEX_URL": url,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CACHE_DIR": str(setup.folder / "pip"),
        "UV_DEFAULT_INDEX": url,
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(setup.folder / "uv"),
        "PDM_PYPI_URL": url,
        "PDM_CACHE_DIR": str(setup.folder / "pdm"),
        "POETRY_CACHE_DIR": str(setup.folder / "poetry"),
    }
    if setup.is_plain_and_remote:
        variables |= {"PIP_TRUSTED_HOST": setup.host, "PDM_PYPI_VERIFY_SSL": "false"}
    return Surroundings(variables, without=(*_PIP_BESIDE, *_UV_BESIDE, *_OTHERWISE))


CLIENTS: Mapping[str, Configure] = {
    "pip": pip,
    "uv": uv,
    "poetry": poetry,
    "pdm": pdm,
    "hatch": over_pip_or_uv,
    "pipx": over_pip_or_uv,
}
"""By the name of their command."""
