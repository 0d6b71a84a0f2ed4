"""Installations in a row: each a whole Orchard of its own, whose upstream is the one before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Upstream

ADMIN = "operators-token-of-tests"
SETTINGS = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_ANONYMOUS_READ": "true"}
PATHS = {"pypi": "/pypi/simple/", "npm": "/npm/", "maven": "/maven/", "cargo": "/cargo/"}


def led_to(base: str) -> dict[str, str]:
    """Settings of an installation whose upstream, in every protocol, is the Orchard at `base`."""
    return {f"ORCHARD_{name.upper()}_UPSTREAM": base + path for name, path in PATHS.items()}


@contextlib.contextmanager
def chain(folder: Path, upstream: Upstream, *names: str, **settings: str) -> Iterator[list[Cluster]]:
    """One installation per name, the first one next to the registries."""
    with contextlib.ExitStack() as running:
        found: list[Cluster] = []
        for name in names:
            before = led_to(found[-1].gateway.base) if found else {}
            own = SETTINGS | before | settings
            found.append(running.enter_context(cluster(folder / name, upstream, extractors=0, **own)))
        yield found


def operate(orchard: Cluster, method: str, path: str, **options: Any) -> httpx.Response:
    """One request of an operator, below /api/v1/admin; asserts that it succeeds."""
    url = orchard.url(f"/api/v1/admin{path}")
    headers = {"authorization": f"Bearer {ADMIN}"}
    answer = httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **options)
    assert answer.is_success, answer.text
    return answer
