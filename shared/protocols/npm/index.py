"""Reading what an upstream sent as a document: whose it is, and which of its versions can be served."""

from __future__ import annotations

from shared.errors import UpstreamInvalid
from shared.models import UpstreamSource
from shared.protocols.base import IndexDocument
from shared.protocols.json_text import Fields, Raw, fields_of, read_object, value_of
from shared.protocols.links import Dropped, Links, why_refused
from shared.protocols.npm import names
from shared.protocols.npm.dist import served_name, tarball_url
from shared.protocols.npm.document import Notes, encode_document
from shared.protocols.npm.semver import parse_version

MAX_VERSIONS = 100_000


def read_index(
    identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
) -> IndexDocument:
    """The canonical document of an upstream's answer; see `PackageProxyBase.read_index`."""
    try:
        top, body = read_object(body)
    except ValueError as error:
        raise UpstreamInvalid("the upstream's document is not valid JSON") from error
    kind, name, spec = names.split_identity(identity)
    if kind not in ("packument", "version"):
        return IndexDocument(encode_document(identity, url, Notes(), body))
    if not _is_of(top, name):
        raise UpstreamInvalid("the upstream's document is of another package")
    versions = _versions(top) if kind == "packument" else _version(top, body, spec)
    dropped, hidden, filenames = Dropped(), set(), {}
    taken: set[str] = set()
    links = Links(url)
    for version, raw in versions.items():
        file_url = tarball_url(fields_of(fields_of(raw).get("dist")), links)
        filename = served_name(name, version, file_url)
        why = _why_hidden(version, file_url, source) or ("two files of one name" if filename in taken else "")
        if why:
            hidden.add(version)
            dropped.add(why, version)
            continue
        taken.add(filename)
        if filename != names.tarball_name(name, version):
            filenames[version] = filename
    if kind == "version" and hidden:
        raise UpstreamInvalid("the upstream's document of this version cannot be served")
    notes = Notes(hidden=frozenset(hidden), filenames=filenames)
    return IndexDocument(encode_document(identity, url, notes, body), tuple(dropped.reasons))


def _is_of(top: Fields, name: str) -> bool:
    """Whether a document is of a package: it may not say so (what is no text says nothing), and registries
    that ignore case answer with the spelling that they have."""
    told = value_of(top.get("name"))
    return not isinstance(told, str) or not told.strip() or told.lower() == name.lower()


def _versions(top: Fields) -> Fields:
    # Without versions: a package that was unpublished whole, or has nothing but its tags. What tells no name
    # either may be anything.
    told = top.keys() & {"versions", "time", "dist-tags"}
    is_object = bytes(memoryview(top.get("versions", Raw(b"-")))[:1]) == b"{"
    if not told or not (is_object or value_of(top.get("name"))):
        raise UpstreamInvalid("the upstream's document has no versions")
    versions = fields_of(top.get("versions"))
    if len(versions) > MAX_VERSIONS:
        raise UpstreamInvalid(f"the upstream's document has more than {MAX_VERSIONS} versions")
    return versions


def _version(top: Fields, body: bytes, spec: str) -> Fields:
    version = value_of(top.get("version"))
    # What semver reads as a version is that one, whatever its build metadata; all else is a tag.
    asked = parse_version(spec)
    told = parse_version(version) if isinstance(version, str) else None
    if not isinstance(version, str) or (asked and (told is None or told.key != asked.key)):
        raise UpstreamInvalid("the upstream's document is of another version")
    return {version: Raw(body)}


def _why_hidden(version: str, file_url: str, source: UpstreamSource) -> str:
    if not names.is_spec(version):
        return "not a version"
    if not file_url:
        return "dist.tarball is no http(s) address"
    why = why_refused(file_url, source)
    return why and f"dist.tarball is {why}"
