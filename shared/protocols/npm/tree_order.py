"""npm's order of names and paths: that of the Unicode Collation Algorithm for English, for ASCII.

Punctuation comes before digits, digits before letters; case decides only between equal texts, small
letters first (Unicode Technical Standard #10, default table).
"""

from __future__ import annotations

from functools import lru_cache

_ORDER = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_PRIMARY = {ord(character): chr(at + 1) for at, character in enumerate(_ORDER)}
_PRIMARY |= {ord(character.upper()): _PRIMARY[ord(character)] for character in "abcdefghijklmnopqrstuvwxyz"}


@lru_cache(maxsize=65_536)
def sort_key(text: str) -> tuple[str, str]:
    """Sorting by this key is npm's order."""
    return text.translate(_PRIMARY), text.swapcase()
