"""What the scripted upstream of the command's tests offers, in every protocol."""

from __future__ import annotations

from tests.support import npm_builders
from tests.support.builders import build_wheel
from tests.support.maven_builders import Repository
from tests.support.upstream import Upstream

PURLS = {
    "pkg:pypi/app@1.0",
    "pkg:pypi/leaf@2.0",
    "pkg:npm/left@1.2.0",
    "pkg:maven/org.orchard.demo/lib@1.0",
}
"""What an ensure file of app, left and lib comes to."""


def publish_tree(server: Upstream) -> None:
    """app needs leaf; one and two cannot stand beside each other; left is npm's, lib Maven's."""
    for name, version, requires in (
        ("app", "1.0", ["leaf>=1"]),
        ("leaf", "2.0", []),
        ("one", "1.0", ["shared<2"]),
        ("two", "1.0", ["shared>=2"]),
    ):
        wheel = build_wheel(name, version, requires=requires, size_bytes=1000)
        server.add_project(name, {f"{name}-{version}-py3-none-any.whl": wheel})
    shared = {f"shared-{each}-py3-none-any.whl": build_wheel("shared", each) for each in ("1.0", "2.0")}
    server.add_project("shared", shared)
    npm_builders.publish(server, "left", {"1.2.0": {}})
    Repository(server).add("org.orchard.demo", "lib", "1.0")
