"""The clients that can be set up, by the name of their command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.cli.clients import java, node, python
from services.cli.clients.base import ClientSetup, Setup

CLIENTS: Mapping[str, Callable[[Setup], ClientSetup]] = {
    "pip": python.pip,
    "uv": python.uv,
    "poetry": python.poetry,
    "npm": node.npm,
    "pnpm": node.pnpm,
    "yarn": node.yarn,
    "yarn-1": node.yarn_1,
    "yarn-4": node.yarn_4,
    "mvn": java.mvn,
    "gradle": java.gradle,
}
