"""What a resolution reads in maven-metadata.xml: the versions of an artifact, the builds of a snapshot."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import msgspec

from shared.errors import UpstreamInvalid
from shared.protocols.maven import names
from shared.protocols.maven.xml import BadXml, children_of, parse, text_of

MAX_VERSIONS = 50_000


class Listing(msgspec.Struct, frozen=True):
    """The metadata of an artifact, or of one of its snapshot versions."""

    versions: tuple[str, ...] = ()
    latest: str = ""
    release: str = ""
    build: str = ""  # timestamp and number of a snapshot's newest build: "20240101.120000-1"
    builds: dict[tuple[str, str], str] = {}  # (extension, classifier) → version of its newest file
    updated: str = ""  # `lastUpdated` as it stands

    def build_of(self, version: str, extension: str, classifier: str) -> str:
        """The version in the name of a snapshot's newest file; "" if none is given."""
        found = self.builds.get((extension, classifier), "")
        if not found and self.build and not self.builds:  # metadata from before Maven 3
            found = f"{version.removesuffix('SNAPSHOT')}{self.build}"
        return found


def read_listing(body: bytes) -> Listing:
    """Raises `UpstreamInvalid` if it is no such document."""
    try:
        root = parse(body, "metadata")
    except BadXml as error:
        raise UpstreamInvalid(f"the stored {names.METADATA}: {error}") from error
    versioning = root.find("versioning")
    snapshot = versioning.find("snapshot") if versioning is not None else None
    stamp, number = text_of(snapshot, "timestamp"), text_of(snapshot, "buildNumber")
    return Listing(
        versions=tuple(dict.fromkeys(_versions(versioning))),
        latest=_version(text_of(versioning, "latest")),
        release=_version(text_of(versioning, "release")),
        updated=text_of(versioning, "lastUpdated"),
        build=f"{stamp}-{number}" if stamp and number and names.is_version(f"{stamp}-{number}") else "",
        builds={
            (text_of(each, "extension"), text_of(each, "classifier")): value
            for each in children_of(versioning, "snapshotVersions", "snapshotVersion")
            if (value := _version(text_of(each, "value"))) and not value.endswith(names.SNAPSHOT)
        },
    )


def _versions(versioning: Element | None) -> list[str]:
    found: list[str] = []
    for each in children_of(versioning, "versions", "version"):
        text = _version((each.text or "").strip())
        if text and len(found) < MAX_VERSIONS:
            found.append(text)
    return found


def _version(text: str) -> str:
    return text if names.is_version(text) else ""
