"""A document that has come, from which may follow what its client asks next."""

from __future__ import annotations

import msgspec

from shared.models import FileName
from shared.queue.jobs import Asker


class Came(msgspec.Struct, frozen=True):
    """An index (`identity`), whose document lies under `key`, or a `file`, whose bytes do."""

    protocol: str
    asker: Asker
    source_id: int
    key: str
    identity: str = ""
    file: FileName | None = None
    is_sure: bool = True  # it is known which versions are wanted (`Asker.wanted`)
