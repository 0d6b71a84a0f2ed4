"""How many connections the limit of open files carries: no request may fail for want of a descriptor."""

from __future__ import annotations

import resource

from shared.errors import ConfigurationError
from shared.logs import get_logger

log = get_logger()

MOST_CONNECTIONS = 2048  # at once; further ones wait to be accepted
RESERVED = 256  # stores, logs, threads, objects that are being read
PER_CONNECTION = 3  # the client's socket, the file that it is sent, a way to a fetcher or to S3
LEAST_CONNECTIONS = 64


def connections_for(wanted: int) -> int:
    """Raises the soft limit as far as it goes, and says how many connections may be open at once: at most
    `wanted`; the rest waits to be accepted. Raises `ConfigurationError` where the limit carries too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 2**20 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    fitting = (limit - RESERVED) // PER_CONNECTION
    needed = RESERVED + PER_CONNECTION * wanted
    if fitting < LEAST_CONNECTIONS:
        raise ConfigurationError(
            f"only {limit} files may be open (ulimit -Hn): a gateway needs {needed}, and does not start with "
            f"fewer than {RESERVED + PER_CONNECTION * LEAST_CONNECTIONS}"
        )
    if fitting < wanted:
        log.warning(
            "few_descriptors",
            limit=limit,
            connections=fitting,
            hint=f"raise the hard limit of open files (ulimit -Hn) to {needed} for {wanted} connections",
        )
    return min(wanted, fitting)
