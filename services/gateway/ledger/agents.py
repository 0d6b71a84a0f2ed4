"""The tool of a client and its version, out of its User-Agent: untrusted text, bounded and cleaned.

The first product is taken and nothing else (RFC 9110 §10.1.5): what pip, npm and Maven say after it tells of
machines and people. Strangers may send as many different ones as they like; so many are told apart in a day,
and then every other is `OTHER`.
"""

from __future__ import annotations

import re
import time

from shared.process.bounded import Bounded

LONGEST = 256  # bytes of a header that are looked at
MOST_TOOLS = 1000
OTHER = ("other", "")
_DAY = 86_400.0
_REMEMBERED = 4096
_PRODUCT = re.compile(
    rb"\s*([A-Za-z0-9][A-Za-z0-9._+@-]{0,63})(?:/([A-Za-z0-9][A-Za-z0-9._+~-]{0,63}))?(?=[\s;(]|$)"
)

Tool = tuple[str, str]
"""Name and version, each of at most 64 plain characters; ("", "") where none was sent."""


def tool_of(user_agent: bytes) -> Tool:
    """ "pip/24.0 {…}" is ("pip", "24.0"); what has not that form is `OTHER`."""
    if not user_agent.strip():
        return "", ""
    found = _PRODUCT.match(user_agent[:LONGEST])
    if found is None:
        return OTHER
    return found[1].decode("ascii"), (found[2] or b"").decode("ascii")


class Agents:
    """The tools that one gateway has seen."""

    def __init__(self) -> None:
        self._of = Bounded[bytes, Tool](_REMEMBERED)
        self._told: set[Tool] = set()
        self._since = time.monotonic()

    def tool(self, user_agent: bytes) -> Tool:
        """As `tool_of`, once for each distinct header (cut to `LONGEST` by the caller)."""
        tool = self._of.get(user_agent)
        if tool is None:
            tool = self._bounded(tool_of(user_agent))
            self._of.put(user_agent, tool)
        return tool

    def _bounded(self, tool: Tool) -> Tool:
        if time.monotonic() - self._since > _DAY:
            self._since = time.monotonic()
            self._told.clear()
        if tool not in self._told:
            if len(self._told) >= MOST_TOOLS:
                return OTHER
            self._told.add(tool)
        return tool
