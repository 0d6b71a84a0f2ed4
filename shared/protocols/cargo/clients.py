"""cargo.

For the `orchard` command: the standard library and shared.clientfiles alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.clientfiles.setup import (
    NAME,
    ClientSetup,
    Configure,
    FileEdit,
    Setup,
    Surroundings,
    set_now,
    told_by,
)
from shared.clientfiles.toml import read_keys, set_keys

_TOKEN = "cargo:token-from-stdout printenv ORCHARD_TOKEN"  # noqa: S105 - how cargo asks for one


_BESIDE = (f"CARGO_REGISTRIES_{NAME.upper()}_INDEX", "CARGO_REGISTRY_DEFAULT")


def cargo(setup: Setup) -> ClientSetup:
    """Orchard's index in the place of the default one; locks keep naming that."""

    def edit(text: str) -> str:
        text = set_keys(text, "source.crates-io", {"replace-with": NAME})
        registry: dict[str, str | bool] = {"index": f"sparse+{setup.base}/cargo/"}
        if setup.token:
            registry["credential-provider"] = _TOKEN
        return set_keys(text, f"registries.{NAME}", registry)

    return ClientSetup((FileEdit(_file(setup), edit),), notes=_overridden(setup))


def _folder(setup: Setup) -> Path:
    return Path(setup.environ.get("CARGO_HOME") or setup.home / ".cargo")


def _file(setup: Setup) -> Path:
    folder = setup.folder / ".cargo" if setup.project else _folder(setup)
    older = folder / "config"
    return older if older.is_file() else folder / "config.toml"


def _overridden(setup: Setup) -> tuple[str, ...]:
    notes = ["`cargo vendor` heeds it with --respect-source-config alone."]
    if not setup.token:
        notes.append("Where Orchard asks for tokens: run this again with ORCHARD_TOKEN set.")
    notes += set_now(setup, *_BESIDE)
    keys = told_by(_file(setup), lambda text: read_keys(text, "")) or {}
    for each in ("registries", "source"):
        names = keys.get(each)
        others = sorted({*names} - {NAME, "crates-io"}) if isinstance(names, dict) else []
        notes += [f"[{each}.{name}] stays: what names it comes past Orchard." for name in others]
    default = keys.get("registry")
    if isinstance(default, dict) and default.get("default"):
        notes.append(f"[registry] default is {default['default']}: `cargo install` asks that, past Orchard.")
    for name in ("config", "config.toml"):
        here = setup.folder / ".cargo" / name
        if not setup.project and here.is_file() and here.resolve() != _file(setup).resolve():
            notes.append(f"{here} wins over your own, here.")
    return tuple(notes)


def surroundings(setup: Setup) -> Surroundings:
    """cargo, with a home of its own: its registries and what it has downloaded are there."""
    return Surroundings({"CARGO_HOME": str(setup.home / ".cargo")}, cargo(setup).files, _BESIDE)


CLIENTS: Mapping[str, Configure] = {"cargo": cargo}
"""By the name of their command."""
