"""Settings in a file, `ORCHARD_SETTINGS_FILE`: TOML, a key for each variable, its name in lower case without
ORCHARD_. What the environment says counts before it. Read by every service and by the command."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

VARIABLE = "ORCHARD_SETTINGS_FILE"
_KEY = re.compile(r"[a-z][a-z0-9_]*")


def put_into(environ: MutableMapping[str, str]) -> dict[str, str]:
    """What the file says and the environment does not, which from then on the environment says too.

    Returns, by variable, its key as it is shown. Whether there are such settings is not looked at. Raises
    `ValueError`, one line, for a file that is none.
    """
    path = environ.get(VARIABLE, "").strip()
    if not path:
        return {}
    import tomllib  # the command starts without these, and is quick to start
    from pathlib import Path

    try:
        file = Path(path).expanduser()
        if file.exists() and not file.is_file():  # a FIFO would be waited for
            raise ValueError(f"{VARIABLE}: {path} is no file")
        told = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{VARIABLE}: {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{VARIABLE}: {path} is no TOML: {error}") from None
    found = {}
    for key, value in told.items():
        variable = f"ORCHARD_{key.upper()}"
        if not _KEY.fullmatch(key) or variable == VARIABLE:
            raise ValueError(f"{path}: {key}: expected names as `port`: lower case, without ORCHARD_")
        text = _text(value)
        if text is None:
            raise ValueError(f"{path}: {key}: expected a text, a number, true, false, or a list of texts")
        if "\0" in text:
            raise ValueError(f"{path}: {key}: must hold no line break and no other control character")
        if variable not in environ:
            environ[variable] = text
            found[variable] = f"{path}: {key}"
    return found


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(each, str) and "," not in each for each in value):
        return ",".join(value)
    return None
