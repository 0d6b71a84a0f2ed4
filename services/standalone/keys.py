"""The two secrets that a standalone Orchard makes for itself at its first start: files of mode 0600."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes

from services.standalone.kept_files import put_aside, read_kept, write_private
from shared.errors import OrchardError
from shared.sealing_box import SealingBox
from shared.settings import Settings
from shared.tokens import new_token

ADMIN_TOKEN = "admin-token"  # noqa: S105 - a file's name; the `orchard` command looks there too
SECRET_KEY = "secret-key"  # noqa: S105
_LOST_KEY = "credentials of sources must be given again"


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
        token, where = _remembered(path, new_token, _is_word, "clients of the old one are refused"), str(path)
    key = ",".join(settings.secret_key)
    if not key:
        key = _remembered(folder / SECRET_KEY, _new_key, _is_keys, _LOST_KEY)
    return Keys(token, where, key)


def _remembered(path: Path, make: Callable[[], str], good: Callable[[str], bool], lost: str) -> str:
    kept = read_kept(path)
    if kept and good(kept):
        path.chmod(0o600)  # whoever copied the folder may have opened it to others
        return kept
    if kept:
        put_aside(path, f"cannot be used, a new one is made; {lost}")
    made = make()
    write_private(path, made + "\n")
    return made


def _new_key() -> str:
    return b64encode(token_bytes(32)).decode()


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def _is_keys(text: str) -> bool:
    """As ORCHARD_SECRET_KEY: one or more keys, comma-separated."""
    try:
        SealingBox.from_texts(text.split(","))
    except OrchardError:
        return False
    return True
