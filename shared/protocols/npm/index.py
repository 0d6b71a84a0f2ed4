"""Reading an upstream's document: whether it is of this package, and which of its versions can be served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.errors import UpstreamInvalid
from shared.models import FileEntry, FileName, UpstreamSource
from shared.policy.age import Dated
from shared.protocols.npm import names, provenance
from shared.protocols.npm.about import about
from shared.protocols.npm.dist import hashes_of, served_name, tarball_url
from shared.protocols.npm.document import Document, Notes, decode_document, encode_document
from shared.protocols.npm.semver import parse_version
from shared.protocols.npm.traits import traits
from shared.protocols.reading import bundles
from shared.protocols.reading.json_text import Fields, Raw, fields_of, read_object, value_of
from shared.protocols.reading.links import Dropped, Links, why_refused
from shared.protocols.reading.times import unix_seconds
from shared.protocols.roles.documents import Documents, IndexDocument, Remark

MAX_VERSIONS = 100_000


def read_index(
    identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
) -> IndexDocument:
    """The canonical document of an upstream's answer; see `Documents.read_index`."""
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
    declared = value_of(top.get("name"))
    return not isinstance(declared, str) or not declared.strip() or declared.lower() == name.lower()


def _versions(top: Fields) -> Fields:
    # Without versions: a package that was unpublished whole, or has nothing but its tags. What tells no name
    # either may be anything.
    declared = top.keys() & {"versions", "time", "dist-tags"}
    is_object = bytes(memoryview(top.get("versions", Raw(b"-")))[:1]) == b"{"
    if not declared or not (is_object or value_of(top.get("name"))):
        raise UpstreamInvalid("the upstream's document has no versions")
    versions = fields_of(top.get("versions"))
    if len(versions) > MAX_VERSIONS:
        raise UpstreamInvalid(f"the upstream's document has more than {MAX_VERSIONS} versions")
    return versions


def _version(top: Fields, body: bytes, spec: str) -> Fields:
    version = value_of(top.get("version"))
    # What semver reads as a version is that one, whatever its build metadata; all else is a tag.
    asked = parse_version(spec)
    declared = parse_version(version) if isinstance(version, str) else None
    if not isinstance(version, str) or (asked and (declared is None or declared.key != asked.key)):
        raise UpstreamInvalid("the upstream's document is of another version")
    return {version: Raw(body)}


def _why_hidden(version: str, file_url: str, source: UpstreamSource) -> str:
    if not names.is_spec(version):
        return "not a version"
    if not file_url:
        return "dist.tarball is no http(s) address"
    why = why_refused(file_url, source)
    return why and f"dist.tarball is {why}"


def find_file(document: Document, file: FileName, source: UpstreamSource | None = None) -> FileEntry | None:
    """A tarball's entry, or None for a version that the document lacks."""
    found = document.dist(document.version_of(file.filename))
    if not found:
        return None
    return FileEntry(
        filename=file.filename,
        url=tarball_url(found, Links(document.envelope.url)),
        file_id=names.ONE_FILE_ID,
        hashes=hashes_of(found),
    )


def dated(identity: str, document: Document, *, marks: bool = False) -> Iterator[Dated]:
    """See `Documents.dated`. A version without a date has the moment at which this Orchard first saw it."""
    if document.kind not in ("packument", "version"):
        return
    times = document.notes.times | document.time
    for version in document.versions:
        found = Dated(version, names.canonical_version(version), unix_seconds(times.get(version)))
        yield provenance.marked(found, document) if marks else found


class NpmDocuments(Documents):
    """Packuments, and documents of one version."""

    tells_licences = True

    dated = staticmethod(dated)
    traits = staticmethod(traits)
    attested = staticmethod(provenance.attested)
    attestations = staticmethod(bundles.attestations)
    is_subject = staticmethod(provenance.is_subject)
    signed_text = staticmethod(provenance.signed_text)

    read_index = staticmethod(read_index)
    decode_document = staticmethod(decode_document)
    find_file = staticmethod(find_file)

    def entry_identities(self, file: FileName) -> tuple[str, ...]:
        version = names.version_of(file.project, file.filename)
        packument = names.packument_identity(file.project)
        return (packument, names.version_identity(file.project, version)) if version else (packument,)

    def remarks(self, document: Document) -> Mapping[str, Remark]:
        found = {}
        for version, raw in document.versions.items():
            told = value_of(fields_of(raw).get("deprecated"))
            if told:
                found[version] = Remark(withdrawn="deprecated", reason=told if isinstance(told, str) else "")
        return found

    def tags(self, document: Document) -> Mapping[str, str]:
        """`dist-tags`."""
        told = value_of(document.top.get("dist-tags")) if document.kind == "packument" else None
        pairs = told.items() if isinstance(told, dict) else ()
        return {tag: names.canonical_version(each) for tag, each in pairs if isinstance(each, str)}

    about = staticmethod(about)

    def dated_name(self, document: Document, file: FileName) -> str:
        return document.known_version(file.filename)

    def unlisted(self, file: FileName, version: str, digests: Mapping[str, str]) -> Dated:
        return Dated(version, version, digest=digests.get("sha512", ""))

    def lists_files(self, identity: str, document: Document) -> bool:
        return names.split_identity(identity)[0] == "packument" and bool(document.versions)
