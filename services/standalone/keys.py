"""The two secrets that a standalone Orchard makes for itself at its first start: files of mode 0600."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes

from services.standalone.servers import write_private
from shared.settings import Settings
from shared.tokens import new_token

ADMIN_TOKEN = "admin-token"  # noqa: S105 - a file's name; the `orchard` command looks there too
SECRET_KEY = "secret-key"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Keys:
    """The admin token for gateways, the key to sources' credentials for fetchers; neither is ever shown."""

    admin_token: str = field(repr=False)
    admin_token_at: str  # where a person finds it
    secret_key: str = field(repr=False)


def remembered_keys(settings: Settings, folder: Path) -> Keys:
    """Those that the settings give, else those of the data folder, made at first use."""
    token, where = settings.admin_token, "ORCHARD_ADMIN_TOKEN"
    if not token:
        path = folder / ADMIN_TOKEN
        token, where = _remembered(path, new_token), str(path)
    key = ",".join(settings.secret_key)
    if not key:
        key = _remembered(folder / SECRET_KEY, lambda: b64encode(token_bytes(32)).decode())
    return Keys(token, where, key)


def _remembered(path: Path, make: Callable[[], str]) -> str:
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            path.chmod(0o600)  # whoever copied the folder may have opened it to others
            return kept
    made = make()
    write_private(path, made + "\n")
    return made
