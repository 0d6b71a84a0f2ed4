"""Libraries that are loaded when the first rule asks for them: they take time and memory."""

from __future__ import annotations

import gc
from functools import cache
from typing import Any


@cache
def cel() -> Any:
    """Half a second and 30 MB."""
    import cel

    _settle()
    return cel


@cache
def spdx() -> Any:
    """With the list of all licences."""
    from license_expression import get_spdx_licensing

    licensing = get_spdx_licensing()
    _settle()
    return licensing


def _settle() -> None:
    """What came with them is never garbage. Services freeze what they start with (shared/process): what comes
    later would be looked through at each collection, by every request."""
    if gc.get_freeze_count():
        gc.freeze()
