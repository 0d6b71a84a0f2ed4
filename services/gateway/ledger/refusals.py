"""What was refused, bounded: whoever is refused a package chooses the file names that he is refused, as many
as he likes. So many are told apart in a day; then the project alone is named, then the protocol alone.
"""

from __future__ import annotations

import time

import msgspec

from services.gateway.ledger.entries import Entry
from shared.ledger.batch import File

MOST_FILES = 2_000  # of a gateway in a day
MOST_PROJECTS = 2_000
_DAY = 86_400.0
_decode = msgspec.msgpack.Decoder(File).decode

_Key = tuple[bytes, str, str]


class Refusals:
    """The refused requests of one gateway. Like ones are one `Entry`, so that they are one row."""

    def __init__(self) -> None:
        self._known: dict[_Key, Entry] = {}
        self._since = time.monotonic()

    def bounded(self, entry: Entry) -> Entry:
        """The entry to note for a refused one."""
        if time.monotonic() - self._since > _DAY:
            self._since = time.monotonic()
            self._known.clear()
        found = self._kept(entry, MOST_FILES)
        if found is None:
            file = _decode(bytes(entry.file))
            found = self._kept(_of(entry, file.protocol, file.project), MOST_FILES + MOST_PROJECTS)
            if found is None:
                # Protocols and codes are few: no stranger makes one.
                found = self._kept(_of(entry, file.protocol, ""), len(self._known) + 1)
        assert found is not None
        return found

    def _kept(self, entry: Entry, most: int) -> Entry | None:
        key = bytes(entry.file), entry.cache, entry.code
        known = self._known.get(key)
        if known is None and len(self._known) < most:
            known = self._known[key] = entry
        return known


def _of(entry: Entry, protocol: str, project: str) -> Entry:
    return Entry(File(protocol, project, "", "", ""), entry.result, entry.cache, entry.code)
