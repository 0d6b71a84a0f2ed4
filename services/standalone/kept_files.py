"""Small files of the data folder that Orchard can recreate: ports, passwords, keys (mode 0600).

Whatever stands in their place (nothing, a folder, garbage, an impossible value) never stops a start. It is
put aside under NAME.damaged, the last one only, and said in one line.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes

from services.standalone.output import complain
from shared.access.tokens import new_token
from shared.errors import OrchardError
from shared.settings import Settings
from shared.sources.box import SealingBox
from shared.tlog.signing import new_signer_text, read_signer

_SECRET = re.compile(r"[0-9A-Za-z]{16,200}")  # fits a URL, redis.conf and a statement as it is
_MOST_BYTES = 4096


def read_kept(path: Path) -> str:
    """The text of a small file, stripped; "" if there is none that can be read as such."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # of a pipe nobody waits for the other end
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return "\0"
            return file.read(_MOST_BYTES).decode("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return "\0"  # something is there, and nothing that was kept looks like this


def remembered_secret(path: Path) -> str:
    """The password in `path`, generated at first use or where it is damaged; readable by its owner only."""
    kept = read_kept(path)
    if _SECRET.fullmatch(kept):
        return kept
    if kept:
        put_aside(path, "is no password that Orchard made")
    generated = secrets.token_hex(24)
    write_private(path, generated + "\n")
    return generated


def remembered_number(path: Path, most: int) -> int:
    """The number in `path`; 0 if there is none from 1 to `most`."""
    kept = read_kept(path)
    if re.fullmatch(r"[0-9]{1,9}", kept) and int(kept) <= most:
        return int(kept)
    if kept:
        put_aside(path, f"holds no number from 1 to {most}")
    return 0


def write_private(path: Path, text: str) -> None:
    """Replace `path` at once with `text`, mode 0600 from its first byte; it is on the disk afterwards."""
    fresh = path.with_name(path.name + ".new")
    clear(fresh)
    put_aside_unless_file(path)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)  # or a power cut can leave the new name with nothing in it
    fresh.replace(path)
    sync_folder(path.parent)


def put_aside(path: Path, why: str) -> None:
    """Rename what may be lost to NAME.damaged and say so. Raises `OSError`."""
    aside = path.with_name(path.name + ".damaged")
    clear(aside)
    path.rename(aside)
    complain(f"{path} {why}: put aside as {aside.name}")


def put_aside_unless_file(path: Path) -> None:
    """Nothing but a file, or nothing, stands at `path` afterwards. Raises `OSError`."""
    if not path.is_file() and os.path.lexists(path):
        put_aside(path, "is a folder" if path.is_dir() else "is no file")


def make_folder(path: Path, *, precious: bool = False) -> None:
    """A folder at `path`; what else stands in its place is put aside. Raises `OSError`: also for a link to
    nowhere, where what it led to is precious (its disk may not be mounted)."""
    if not path.is_dir() and (path.exists() or (not precious and path.is_symlink())):
        put_aside(path, "is not a folder")
    path.mkdir(parents=True, exist_ok=True)


def clear(path: Path) -> None:
    """Nothing stands at `path` afterwards. Raises `OSError`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """A renaming in `folder` survives a power cut, where the file system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


ADMIN_TOKEN = "admin-token"  # noqa: S105 - a file's name; the `orchard` command looks there too
ADDRESS = "address"  # where the Orchard that runs here listens, for the `orchard` command
SECRET_KEY = "secret-key"  # noqa: S105
LOG_KEY = "log-key"
_LOST_KEY = "credentials of sources must be given again"


@dataclass(frozen=True, slots=True)
class Keys:
    """The admin token for gateways, the key to sources' credentials for fetchers; neither is ever shown.
    For extractors where the key of the transparency log lies."""

    admin_token: str = field(repr=False)
    admin_token_at: str  # where a person finds it
    secret_key: str = field(repr=False)
    log_key_file: str = ""  # "": the settings say what the log is signed with


def remembered_keys(settings: Settings, folder: Path) -> Keys:
    """Those that the settings give, else those of the data folder, made at first use."""
    token, where = settings.admin_token, "ORCHARD_ADMIN_TOKEN"
    if not token:
        path = folder / ADMIN_TOKEN
        token, where = _remembered(path, new_token, _is_word, "clients of the old one are refused"), str(path)
    key = ",".join(settings.secret_key)
    if not key:
        key = _remembered(folder / SECRET_KEY, _new_key, _is_keys, _LOST_KEY)
    if settings.log_key or settings.log_key_file:
        return Keys(token, where, key)
    path = folder / LOG_KEY
    _remembered(path, _new_log_key, _is_log_key, "the transparency log goes on under a new name")
    return Keys(token, where, key, str(path))


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


def _new_log_key() -> str:
    return new_signer_text(f"orchard-{token_bytes(8).hex()}")


def _is_log_key(text: str) -> bool:
    try:
        read_signer(text)
    except ValueError:
        return False
    return True


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def _is_keys(text: str) -> bool:
    """As ORCHARD_SECRET_KEY: one or more keys, comma-separated."""
    try:
        SealingBox.from_texts(text.split(","))
    except OrchardError:
        return False
    return True
