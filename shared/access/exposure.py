"""The start-up check that an Orchard which others can reach has a setting for who may read."""

from __future__ import annotations

from shared.errors import ConfigurationError
from shared.settings import Settings
from shared.sources.urls import is_loopback

SHORTEST = 16
FEWEST = 6


def reads_anonymously(settings: Settings) -> bool:
    """Whether reading needs no token: as ORCHARD_ANONYMOUS_READ says, else on a loopback address only."""
    return is_loopback(settings.host) if settings.anonymous_read is None else settings.anonymous_read


def check_exposure(settings: Settings) -> None:
    """Raises `ConfigurationError` for an address that others can reach while no setting says who may read.

    Also for an ORCHARD_ADMIN_TOKEN there that can be guessed; on loopback that is logged.

    The database is not asked whether it holds tokens: a gateway starts without it.
    """
    if settings.anonymous_read is None and not settings.admin_token and not is_loopback(settings.host):
        raise ConfigurationError(
            f"ORCHARD_ANONYMOUS_READ: others reach {settings.host}; set it to true to let everyone read, "
            "or to false (or set ORCHARD_ADMIN_TOKEN) to ask for tokens"
        )
    if settings.admin_token and not is_strong(settings.admin_token):
        fault = (
            f"ORCHARD_ADMIN_TOKEN: can be guessed; use {SHORTEST} characters or more, {FEWEST} of them "
            "different: openssl rand -hex 32"
        )
        if not is_loopback(settings.host):
            raise ConfigurationError(fault)
        from shared.telemetry.logs import get_logger  # not above: `make k8s-check` has no packages for it

        get_logger().warning("admin_token_weak", message=fault)


def is_strong(token: str) -> bool:
    """Whether a token that a person chose is long enough and no repetition."""
    return len(token) >= SHORTEST and len(set(token)) >= FEWEST
