"""The clients that can be set up, by the name of their command; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from services.cli.clients.base import ClientSetup, Setup

Configure = Callable[[Setup], ClientSetup]


def _of(module: str, function: str) -> Configure:
    def configure(setup: Setup) -> ClientSetup:
        made: ClientSetup = getattr(import_module(f"services.cli.clients.{module}"), function)(setup)
        return made

    return configure


CLIENTS: Mapping[str, Configure] = {
    "pip": _of("python", "pip"),
    "uv": _of("python", "uv"),
    "poetry": _of("python", "poetry"),
    "npm": _of("node", "npm"),
    "pnpm": _of("node", "pnpm"),
    "yarn": _of("node", "yarn"),
    "yarn-1": _of("node", "yarn_1"),
    "yarn-4": _of("node", "yarn_4"),
    "mvn": _of("java", "mvn"),
    "gradle": _of("java", "gradle"),
}
"""Asks no server: what is made depends on the `Setup` and, for notes, on the files that are there."""
