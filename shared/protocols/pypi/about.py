"""Who publishes a file, as its core metadata tells (core metadata specification 2.4)."""

from __future__ import annotations

MOST_BYTES = 64 * 1024  # of the beginning: the description comes after the fields
MOST_TEXT = 200  # characters
_PEOPLE = ("author", "maintainer", "author-email", "maintainer-email")


def publisher(metadata: bytes) -> str:
    """A person's name, else their address, as the fields tell it; "" where they tell nothing that fits a
    line."""
    fields: dict[str, str] = {}
    for line in metadata[:MOST_BYTES].decode("utf-8", "replace").splitlines():
        if not line.strip():
            break  # the description
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields.setdefault(name.strip().lower(), value.strip())
    texts = (fields.get(name, "").removeprefix("UNKNOWN") for name in _PEOPLE)
    found = next((each for each in texts if 0 < len(each) <= MOST_TEXT and each.isprintable()), "")
    return found.partition("<")[0].strip(' "') or found.strip("<> ")
