"""The settings printed for mvn and Gradle. Their own name mirrors, no default repository: none is taken from
there."""

from __future__ import annotations

from typing import ClassVar

from packageurl.contrib import purl2url

from shared.protocols.maven.clients import CLIENTS
from shared.protocols.roles.setup import Address, ClientHint, Setup, before


class MavenSetup(Setup):
    """mvn gives up at its first 503, and waits 30 min for a silent server; Gradle tries again after 30 s."""

    client_seconds: ClassVar[float] = 55.0
    clients = CLIENTS

    def installs(self, project: str, version: str) -> tuple[ClientHint, ...]:
        group, _, artifact = project.partition(":")
        number = version or "…"
        dependency = (
            "<dependency>",
            f"  <groupId>{group}</groupId>",
            f"  <artifactId>{artifact}</artifactId>",
            f"  <version>{number}</version>",
            "</dependency>",
        )
        return (
            ClientHint("mvn", dependency, "in pom.xml, inside <dependencies>:"),
            ClientHint(
                "Gradle", (f'implementation "{project}:{number}"',), "in build.gradle, in dependencies:"
            ),
        )

    def hints(self, address: Address) -> tuple[ClientHint, ...]:
        url = f"{address.base}/maven/"
        mirror = f"<mirror><id>orchard</id><mirrorOf>*</mirrorOf><url>{url}</url></mirror>"
        # Gradle 7 takes plain http from 127.0.0.1 alone; Gradle before 6 does not know the word.
        plain = "; allowInsecureProtocol = true" if address.is_plain and address.host != "127.0.0.1" else ""
        return (
            ClientHint("mvn", (f"<mirrors>{mirror}</mirrors>",), "in ~/.m2/settings.xml, inside <settings>:"),
            ClientHint(
                "Gradle",
                (f'allprojects {{ repositories {{ maven {{ url "{url}"{plain} }} }} }}',),
                "in ~/.gradle/init.d/orchard.gradle, without the repositories that the build names itself:",
            ),
            ClientHint("coursier", (f"export COURSIER_REPOSITORIES={url}",)),
        )

    def public_registry(self) -> str:
        return before(purl2url.get_download_url("pkg:maven/group/name@1"), "/group/", "/")
