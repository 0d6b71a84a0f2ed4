"""`Credentials`: what an upstream is asked with, and by whom they may be got."""

from __future__ import annotations

import msgspec


class Credentials(msgspec.Struct, frozen=True, omit_defaults=True):
    """Credentials of an upstream: Basic (user name and password) or a token."""

    username: str = ""
    password: str = ""
    token: str = ""
    hosts: tuple[str, ...] = ()
    """Further hosts ("files.example.com", "[::1]:8443") that get them: sealed with them, for whoever may
    write rows but has no key must not send them elsewhere."""

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.token)

    def __repr__(self) -> str:  # a log line or traceback must not show it
        return "Credentials(…)"
