"""Error texts that clients read tell no address of this installation."""

from __future__ import annotations

import pytest

from shared.clients.reasons import reason_of

SAID = {
    "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379).": "Connect call failed",
    "Error -2 connecting to redis.internal:6379. Name or service not known.": "Name or service not known",
    "[Errno 111] Connect call failed ('::1', 9, 0, 0)": "[Errno 111] Connect call failed",
    "Multiple exceptions: [Errno 111] Connect call failed ('::1', 9, 0, 0), [Errno 111] Connect call failed "
    "('10.1.2.3', 9)": "Multiple exceptions",
    "Timeout connecting to server": "Timeout connecting to server",
    "MISCONF Errors writing to the AOF file: No space left on device": "No space left on device",
    "cannot connect to host [fd00::1]:443 ssl:default": "ssl:default",
    "": "OSError",
}


@pytest.mark.parametrize("text", SAID)
def test_reason__keeps_the_words_and_drops_the_addresses(text: str) -> None:
    said = reason_of(OSError(text))
    assert SAID[text] in said
    assert not any(each in said for each in ("127.0.0.1", "6379", "10.1.2.3", "::1", "redis.internal"))
