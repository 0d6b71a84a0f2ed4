"""Which Orchard the command speaks to and with which token, from options and environment.

A token is read from the environment or from the file that a local Orchard writes, never from the
command line: arguments are seen by every user of the machine. The file's goes to nobody who did not prove
to know it (server.py): any user may listen on a port of loopback while Orchard does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from services.cli.errors import WrongUse

ROOT = Path(__file__).resolve().parents[2]
FROM = "ORCHARD_PYZ_FROM"
"""Set by orchard.pyz for itself: the address that it was downloaded from."""
CAME_FROM = "the address that orchard.pyz came from; ORCHARD_URL names another"
MOST_GATEWAYS = 32  # that one Orchard starts, each on a port above the other
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ADDRESS_FILE = "address"  # likewise, while it runs
_ADDRESS = re.compile(r"http://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
TOKEN_FILE = "admin-token"  # noqa: S105 - the name of a file, which standalone writes in its data folder


class Target(NamedTuple):
    """An Orchard's address, without a slash at its end, and what is known of tokens for it."""

    base: str
    chosen_by: str  # the option or variable that names it, "" for the default
    read_token: str = ""
    admin_token: str = ""
    file_token: str = ""  # the data folder's: for who proves to be its Orchard, and for nobody else
    proven_at: str = ""  # where to ask that one: `base`, with the host that the Orchard listens on

    def __repr__(self) -> str:
        return f"Target({self.base})"  # without its secrets

    @property
    def is_local(self) -> bool:
        return (urlsplit(self.base).hostname or "") in LOOPBACK


def choose_target(url: str, environ: Mapping[str, str]) -> Target:
    """`url` (from --url, may be ""), else ORCHARD_URL, else this machine's Orchard. Raises `WrongUse`."""
    given = environ.get("ORCHARD_URL", "")
    origin = "" if url or given else environ.get(FROM, "")
    chosen_by = "--url" if url else "ORCHARD_URL" if given else CAME_FROM if origin else ""
    base = (url or given or origin or _local(environ)).strip().rstrip("/")
    _check(base, chosen_by or "ORCHARD_HOST, ORCHARD_PORT")
    token, admin = environ.get("ORCHARD_TOKEN", "").strip(), environ.get("ORCHARD_ADMIN_TOKEN", "").strip()
    at = "" if token or admin else _own_address(base, environ)
    return Target(
        base,
        chosen_by,
        read_token=token or admin,
        admin_token=admin or token,
        file_token=_token_of_file(environ) if at else "",
        proven_at=at,
    )


def data_folder(environ: Mapping[str, str]) -> Path:
    """Where the Orchard that `orchard up` starts keeps its data: ORCHARD_DATA_DIR, else a checkout's `data`,
    which is where `make run` keeps it too; else, installed, $XDG_DATA_HOME/orchard: environments are
    replaced, data is not.
    """
    named = environ.get("ORCHARD_DATA_DIR", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    if (ROOT / "pyproject.toml").is_file():
        return ROOT / "data"
    share = Path(environ.get("XDG_DATA_HOME", "").strip() or "~/.local/share").expanduser()
    return share.absolute() / "orchard"


def _local(environ: Mapping[str, str]) -> str:
    """Where this machine's Orchard listens: as settings say, else the one that runs in the data folder."""
    host = environ.get("ORCHARD_HOST", "").strip()
    if not host and not environ.get("ORCHARD_PORT", "").strip() and (told := _told(environ)):
        return told
    host = "127.0.0.1" if host in ("", "0.0.0.0") else "::1" if host == "::" else host  # noqa: S104
    port = environ.get("ORCHARD_PORT", "").strip() or "8080"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _told(environ: Mapping[str, str]) -> str:
    found = _kept(environ, ADDRESS_FILE)
    return found if _ADDRESS.fullmatch(found) and int(found.rpartition(":")[2]) < 65536 else ""


def _own_address(base: str, environ: Mapping[str, str]) -> str:
    """`base`, if a gateway of the Orchard that `orchard up` starts may be there: on ORCHARD_PORT or above it.

    With the host of ORCHARD_HOST: behind another name of loopback somebody else may listen on the same port.
    "" where none of ours is.
    """
    try:
        there, own = urlsplit(base), urlsplit(_local(environ))
        same_host = there.hostname == own.hostname or {there.hostname, own.hostname} <= set(LOOPBACK)
        port = there.port or 80
        if there.scheme != "http" or not same_host or not 0 <= port - (own.port or 80) < MOST_GATEWAYS:
            return ""
        host = own.hostname or ""
        return f"http://[{host}]:{port}{there.path}" if ":" in host else f"http://{host}:{port}{there.path}"
    except ValueError:  # ORCHARD_HOST or ORCHARD_PORT is none: then nothing is ours
        return ""


def _check(base: str, name: str) -> None:
    try:
        parts = urlsplit(base)
        _ = parts.port
    except ValueError as error:
        raise WrongUse(f"{name}: not an address ({error})") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongUse(
            f"{name}: expected an address such as http://127.0.0.1:8080, not {_short(base)!r}",
            "It is the address that clients use, without a protocol's own path behind it.",
        )
    if parts.username or parts.password:
        raise WrongUse(f"{name}: must not hold a user or password", "Put the token into ORCHARD_TOKEN.")
    if parts.query or parts.fragment:
        raise WrongUse(f"{name}: must not hold a query or fragment")
    if any(character <= " " or character == "\x7f" for character in base):
        raise WrongUse(f"{name}: must not hold spaces or control characters")


def _short(text: str) -> str:
    # A password pasted here by mistake must not be printed.
    return text.rpartition("@")[2][:80]


def _token_of_file(environ: Mapping[str, str]) -> str:
    return _kept(environ, TOKEN_FILE)


def _kept(environ: Mapping[str, str], name: str) -> str:
    try:
        path = data_folder(environ) / name
        return path.read_text().strip() if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
