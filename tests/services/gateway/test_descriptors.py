"""A gateway accepts only as many connections as its limit of open files carries."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from services.gateway import descriptors
from shared.errors import ConfigurationError


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The limit that holds, last, as the kernel would keep it."""
    held = [(256, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: held[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: held.append(limits))
    yield held


def test_connections__soft_limit_is_raised_and_connections_fit_the_hard_one(
    limits: list[tuple[int, int]],
) -> None:
    connections = descriptors.connections_for(2048)
    assert limits[-1] == (1024, 1024)
    assert descriptors.LEAST_CONNECTIONS < connections < 1024 // 3


def test_connections__enough_descriptors__all(limits: list[tuple[int, int]]) -> None:
    limits[:] = [(1024, 20_000)]
    assert descriptors.connections_for(2048) == 2048
    limits[:] = [(resource.RLIM_INFINITY, resource.RLIM_INFINITY)]
    assert descriptors.connections_for(2048) == 2048
    assert len(limits) == 1


def test_connections__far_too_few__says_what_is_needed(limits: list[tuple[int, int]]) -> None:
    limits[:] = [(256, 300)]
    with pytest.raises(ConfigurationError, match=r"ulimit -Hn.*6400"):
        descriptors.connections_for(2048)
