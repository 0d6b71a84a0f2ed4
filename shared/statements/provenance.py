"""The statements of a sealed build: SLSA provenance v1 of what it got, and its bills of materials, signed.

docs/decisions/0048 says where each field comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.builds.entries import BuildList, File, Page, Session
from shared.models import FileName
from shared.protocols import find_protocol
from shared.protocols.file_versions import told_version_of
from shared.protocols.package_urls import exact_purl
from shared.protocols.roles.pins import Pin
from shared.statements.bills import Bill, Component, cyclonedx, spdx
from shared.statements.platform import Platform, encoded
from shared.tlog.dsse import CYCLONEDX, PROVENANCE, SPDX

BUILD_TYPE = "urn:orchard:recorded-build:v1"
_HASHES = {"sha256": "SHA-256", "sha512": "SHA-512", "sha1": "SHA-1"}


class Known(msgspec.Struct, frozen=True):
    """Of a file of the list, what its rows and its package's own documents tell."""

    location: str = ""  # its address at the source, without credentials and query
    licence: str = ""  # of its version, as the publisher writes it
    supplier: str = ""


def build_statements(
    session: Session, listed: BuildList, known: Mapping[FileName, Known], platform: Platform
) -> dict[str, bytes]:
    """The payloads, by kind. `session` is sealed, `listed` its list. What was recorded elsewhere, and came in
    a bundle, has bills alone: this platform has not seen what the build got."""
    sha256 = session.list_key.rpartition("/")[2]
    subject = {"name": f"build-{session.id}", "digest": {"sha256": sha256}}
    bill = bill_of(session, listed, known)
    made = {
        "cyclonedx": encoded(CYCLONEDX, subject, cyclonedx(bill)),
        "spdx": encoded(SPDX, subject, spdx(bill)),
    }
    if not session.imported:
        made["provenance"] = encoded(PROVENANCE, subject, _provenance(session, listed, known, platform))
    return made


KINDS = ("provenance", "cyclonedx", "spdx")


def _provenance(
    session: Session, listed: BuildList, known: Mapping[FileName, Known], platform: Platform
) -> dict[str, Any]:
    base = f"{platform.public_url}/v/build-{session.id}"
    rules = [msgspec.to_builtins(each.as_written()) for each in session.rules]
    inputs = [_file(each, known) for each in listed.files if _is_got(each)]
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "name": session.name,
                "at": session.at,
                **({"policy": rules} if rules else {}),
            },
            **({"internalParameters": {"missing": list(session.missing)}} if session.missing else {}),
            "resolvedDependencies": [*inputs, *(_page(each, base) for each in listed.pages)],
        },
        "runDetails": {
            "builder": {"id": platform.id, "version": {"orchard": platform.version}},
            "metadata": {
                "invocationId": session.id,
                "startedOn": _time(session.created_at),
                "finishedOn": _time(session.sealed_at),
            },
        },
    }


def _file(each: File, known: Mapping[FileName, Known]) -> dict[str, Any]:
    assert each.stored is not None
    location = known.get(each.file, Known()).location
    return {
        "name": each.file.filename,
        "uri": exact_purl(each.protocol, each.file.project, told_version_of(each.file)),
        "digest": {"sha256": each.stored.sha256, **each.stored.digests},
        **({"downloadLocation": location} if location else {}),
        "annotations": {"orchard_kind": "file"},
    }


def _page(each: Page, base: str) -> dict[str, Any]:
    """An index that the build read, in the form in which it was sent."""
    return {
        "name": each.identity,
        "uri": f"{base}/{each.protocol}/",
        "digest": {"sha256": each.info.object_key.rpartition("/")[2]},
        "mediaType": each.info.content_type,
        "annotations": {"orchard_kind": "page", "orchard_variant": each.variant},
    }


def bill_of(session: Session, listed: BuildList, known: Mapping[FileName, Known]) -> Bill:
    """The packages' own files; what only tells of one (core metadata) is in the provenance alone. Who
    needs whom nobody recorded: the build is for all of them."""
    components: dict[str, Component] = {}
    for each in listed.files:
        got = _is_got(each) and _is_own(each.file)
        made = _component(each, known.get(each.file, Known())) if got else None
        if made is not None:
            components.setdefault(made.purl, made)
    return Bill("build", session.id, components, {"": set(components)}, _time(session.sealed_at))


def _is_got(each: File) -> bool:
    """Whether the bytes themselves came, not a checksum of them alone."""
    return each.stored is not None and not each.sidecar


def _is_own(file: FileName) -> bool:
    protocol = find_protocol(file.protocol)
    return protocol is not None and protocol.grammar.gives_file(protocol.grammar.artifact_resource(file))


def _component(each: File, known: Known) -> Component | None:
    protocol, stored = find_protocol(each.protocol), each.stored
    if protocol is None or stored is None:
        return None
    file, version = each.file, told_version_of(each.file)
    pin = Pin(file.project, version, file.filename, ())
    qualifiers = protocol.pins.qualifiers(pin, file.filename)
    return Component(
        purl=exact_purl(each.protocol, file.project, version, qualifiers),
        version=version,
        filename=file.filename,
        size_bytes=stored.size_bytes,
        name=file.project,
        hashes=_hashes([("sha256", stored.sha256), *sorted(stored.digests.items())]),
        location=known.location,
        licence=known.licence,
        supplier=known.supplier,
    )


def _hashes(digests: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((_HASHES[name], digest) for name, digest in digests if name in _HASHES)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
