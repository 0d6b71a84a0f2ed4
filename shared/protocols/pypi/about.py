"""Who publishes a file and under which licence, as its core metadata tells (specification 2.4)."""

from __future__ import annotations

from shared.protocols.roles.archive import About

MOST_BYTES = 64 * 1024  # of the beginning: the description comes after the fields
MOST_TEXT = 200  # characters: longer ones are whole licence texts
_LICENCES = ("license-expression", "license")
_PEOPLE = ("author", "maintainer", "author-email", "maintainer-email")


def about(metadata: bytes) -> About:
    """What the fields tell; "" where they tell nothing that fits a line."""
    fields: dict[str, str] = {}
    for line in metadata[:MOST_BYTES].decode("utf-8", "replace").splitlines():
        if not line.strip():
            break  # the description
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields.setdefault(name.strip().lower(), value.strip())
    return About(_first(fields, _LICENCES), _first(fields, _PEOPLE).partition("<")[0].strip(' "'))


def _first(fields: dict[str, str], names: tuple[str, ...]) -> str:
    texts = (fields.get(name, "").removeprefix("UNKNOWN") for name in names)
    return next((each for each in texts if 0 < len(each) <= MOST_TEXT and each.isprintable()), "")
