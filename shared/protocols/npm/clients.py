"""npm, pnpm, yarn 1, yarn 4, bun, deno and corepack.

For the `orchard` command: the standard library and shared.clientfiles alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from shared.clientfiles.lines import set_pairs, set_words
from shared.clientfiles.setup import (
    ClientSetup,
    Configure,
    FileEdit,
    Setup,
    Surroundings,
    set_now,
    told_by,
)
from shared.clientfiles.yaml import add_to_list, set_scalar

_VARIABLES = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
_SCOPE = re.compile(r"""(?m)^[ \t]*["']?(@[^:=\s"']+):registry""")
_TOKEN = "${ORCHARD_TOKEN}"  # noqa: S105 - the name of a variable, which npm, pnpm and yarn 1 put in


def npm(setup: Setup) -> ClientSetup:
    """`registry` in .npmrc, which pnpm, bun and deno read as well."""

    def edit(text: str) -> str:
        values = {"registry": _url(setup)}
        if setup.token:
            values[_auth_key(setup)] = _TOKEN
        return set_pairs(text, values)

    return ClientSetup((FileEdit(_npmrc(setup), edit),), notes=_overridden(setup))


def pnpm(setup: Setup) -> ClientSetup:
    """As npm; the file of a workspace may name registries too."""
    made = npm(setup)
    return made._replace(
        notes=made.notes + _named_in(setup.folder / "pnpm-workspace.yaml", r"registries\s*:")
    )


def bun(setup: Setup) -> ClientSetup:
    """As npm; bun's own files count before .npmrc."""
    made, own = npm(setup), r"(?:registry\s*=|\[install\.(?:registry|scopes)\])"
    files = dict.fromkeys((setup.folder / "bunfig.toml", setup.home / ".bunfig.toml"))
    return made._replace(notes=made.notes + tuple(note for path in files for note in _named_in(path, own)))


def yarn_1(setup: Setup) -> ClientSetup:
    """`registry` in .yarnrc; yarn 1 takes tokens from .npmrc alone."""
    folder = setup.folder if setup.project else _yarn_1_home(setup)

    def edit(text: str) -> str:
        return set_words(text, {"registry": _url(setup)})

    def edit_npmrc(text: str) -> str:
        # Without always-auth yarn 1 sends a token for scoped packages only.
        values = {"registry": _url(setup), _auth_key(setup): _TOKEN, "always-auth": "true"}
        return set_pairs(text, values)

    files = [FileEdit(folder / ".yarnrc", edit)]
    if setup.token:
        files.append(FileEdit(folder / ".npmrc", edit_npmrc))
    notes = {note for each in (".yarnrc", ".npmrc") for note in _scopes(folder / each)}
    return ClientSetup(tuple(files), notes=(*sorted(notes), *set_now(setup, "YARN_REGISTRY", *_VARIABLES)))


def yarn_4(setup: Setup) -> ClientSetup:
    """`npmRegistryServer` in .yarnrc.yml."""

    def edit(text: str) -> str:
        text = set_scalar(text, "npmRegistryServer", f'"{_url(setup)}"')
        if setup.is_plain:  # yarn 4 asks over plain http only where it is told to
            text = add_to_list(text, "unsafeHttpWhitelist", setup.host)
        if setup.token:
            # With a fallback: yarn 4 refuses to start at all while a variable without one is unset.
            text = set_scalar(text, "npmAuthToken", '"${ORCHARD_TOKEN-}"')
            text = set_scalar(text, "npmAlwaysAuth", "true")
        return text

    folder = setup.folder if setup.project else setup.home
    path, here = folder / ".yarnrc.yml", setup.folder / ".yarnrc.yml"
    notes = list(_named_in(path, r"npmScopes\s*:"))
    if here != path:
        notes += _named_in(here, r"npm(?:RegistryServer|Scopes)\s*:")
    return ClientSetup((FileEdit(path, edit),), notes=(*notes, *set_now(setup, "YARN_NPM_REGISTRY_SERVER")))


def yarn(setup: Setup) -> ClientSetup:
    """Both kinds: each reads its own file."""
    one, other = yarn_1(setup), yarn_4(setup)
    return ClientSetup((*one.files, *other.files), notes=(*one.notes, *other.notes))


def corepack(setup: Setup) -> ClientSetup:
    """Where package managers come from: .corepack.env of a project, else the user's variables."""
    address = f"COREPACK_NPM_REGISTRY={_url(setup)}"
    variables = [] if setup.project else [f"export {address}"]
    files = []
    if setup.project:

        def edit(text: str) -> str:
            return set_pairs(text, {"COREPACK_NPM_REGISTRY": _url(setup)})

        files.append(FileEdit(setup.folder / ".corepack.env", edit))
    if setup.token:
        variables.append('export COREPACK_NPM_TOKEN="$ORCHARD_TOKEN"')
    return ClientSetup(tuple(files), tuple(variables))


def _yarn_1_home(setup: Setup) -> Path:
    """Where yarn 1 looks for the user's files: root has a home of its own for it."""
    is_root = os.geteuid() == 0 and not setup.environ.get("FAKEROOTKEY")
    return Path("/usr/local/share") if is_root else setup.home


def _auth_key(setup: Setup) -> str:
    return f"//{_url(setup).partition('://')[2]}:_authToken"


def _npmrc(setup: Setup) -> Path:
    if setup.project:
        return setup.folder / ".npmrc"
    named = setup.environ.get("npm_config_userconfig") or setup.environ.get("NPM_CONFIG_USERCONFIG")
    return Path(named) if named else setup.home / ".npmrc"


def _scopes(path: Path) -> tuple[str, ...]:
    """Scopes that a file sends to a registry of their own."""
    found = told_by(path, _SCOPE.findall) or []
    return tuple(f"{path} sends {each} to another registry, past Orchard." for each in dict.fromkeys(found))


def _named_in(path: Path, words: str) -> tuple[str, ...]:
    found = told_by(path, re.compile(rf"(?m)^[ \t]*{words}").search)
    return (f"{path} names registries of its own, which are asked past Orchard.",) if found else ()


def _overridden(setup: Setup) -> tuple[str, ...]:
    notes = [*_scopes(_npmrc(setup)), *set_now(setup, *_VARIABLES)]
    here = setup.folder / ".npmrc"
    if not setup.project and here.exists() and here.resolve() != _npmrc(setup).resolve():
        notes.append("the .npmrc in this folder wins over your own, here.")
    return tuple(notes)


def _url(setup: Setup) -> str:
    return f"{setup.base}/npm/"


_BESIDE = (
    "npm_config_before",
    "NPM_CONFIG_BEFORE",
    "npm_config_globalconfig",
    "NPM_CONFIG_GLOBALCONFIG",
    "npm_config_offline",
    "npm_config_prefer_offline",
    "YARN_NPM_SCOPES",
    "YARN_NPM_REGISTRIES",
    "YARN_OFFLINE_MIRROR",
)
"""What these name is asked beside a registry, or instead of it."""


def surroundings(setup: Setup) -> Surroundings:
    """All but corepack. deno finds a token in its user's own .npmrc alone."""
    folder, url = setup.folder, _url(setup)
    variables = {
        "npm_config_registry": url,
        "NPM_CONFIG_REGISTRY": url,  # of deno, which knows no other spelling
        "npm_config_userconfig": str(folder / ".npmrc"),
        "npm_config_cache": str(folder / "npm"),
        # Locks name addresses: those in them are asked below this one, and no new ones are written.
        "npm_config_replace_registry_host": "always",
        "npm_config_omit_lockfile_registry_resolved": "true",
        "npm_config_cache_dir": str(folder / "pnpm-cache"),  # of pnpm 10
        "npm_config_store_dir": str(folder / "pnpm"),
        "PNPM_CONFIG_STORE_DIR": str(folder / "pnpm"),  # of pnpm 12
        "PNPM_CONFIG_CACHE_DIR": str(folder / "pnpm-cache"),
        "BUN_INSTALL_CACHE_DIR": str(folder / "bun"),
        "DENO_DIR": str(folder / "deno"),
        "npm_config_audit": "false",
        "npm_config_update_notifier": "false",  # npm's question for a newer npm is none of the build's
        "YARN_REGISTRY": url,
        "YARN_NPM_REGISTRY_SERVER": url,
        "YARN_CACHE_FOLDER": str(folder / "yarn"),
        "YARN_ENABLE_GLOBAL_CACHE": "false",
        "YARN_GLOBAL_FOLDER": str(folder / "yarn-global"),  # what yarn 4 knows of packages lies there
        "YARN_ENABLE_MIRROR": "false",
    }
    if setup.is_plain:
        variables["YARN_UNSAFE_HTTP_WHITELIST"] = setup.host
    if setup.token:
        variables["YARN_NPM_AUTH_TOKEN"] = setup.environ["ORCHARD_TOKEN"]
        variables["YARN_NPM_ALWAYS_AUTH"] = "true"
    return Surroundings(variables, npm(setup).files, _BESIDE)


CLIENTS: Mapping[str, Configure] = {
    "npm": npm,
    "pnpm": pnpm,
    "yarn": yarn,
    "yarn-1": yarn_1,
    "yarn-4": yarn_4,
    "bun": bun,
    "deno": npm,
    "corepack": corepack,
}
"""By the name of their command."""
