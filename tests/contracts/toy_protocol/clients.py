"""toybox: `shop = "…"` in the table [toys] of toybox.toml."""

from __future__ import annotations

from collections.abc import Mapping

from shared.clientfiles.setup import ClientSetup, Configure, FileEdit, Setup
from shared.clientfiles.toml import set_keys


def toybox(setup: Setup) -> ClientSetup:
    folder = setup.folder if setup.project else setup.config_home
    return ClientSetup((FileEdit(folder / "toybox.toml", lambda text: set_keys(text, "toys", _keys(setup))),))


def _keys(setup: Setup) -> dict[str, str | bool]:
    return {"shop": f"{setup.base}/toys/"}


CLIENTS: Mapping[str, Configure] = {"toybox": toybox}
