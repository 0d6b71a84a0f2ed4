"""The manifest of a bundle: what the build is, which objects it has, and that the log has its files
(docs/decisions/0049). Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from shared.builds.entries import FORMAT as LIST_FORMAT
from shared.builds.entries import BuildList, Entry, Session
from shared.bundles.files import check_files, check_headers, check_times
from shared.bundles.form import FORMAT, BundleRefused, Carried, Head, check_objects
from shared.protocols import find_protocol
from shared.protocols.reading.views import is_build_id, is_lock_key
from shared.tlog.notes import Checkpoint, Key, read_checkpoint
from shared.tlog.proofs import Proof
from shared.tlog.trees import Unproven, check_consistency, check_inclusion, leaf_hash

LONGEST_TEXT = 4096
_CONTROL = frozenset(map(chr, range(0x20))) | {"\x7f"}


class Object(msgspec.Struct, frozen=True):
    """An object of the bundle: key in a store, bytes."""

    key: str
    size: int


class Included(msgspec.Struct, frozen=True):
    """That the log has the admission of these bytes: entry, place, the hashes that lead to the root."""

    sha256: str
    index: int
    entry: bytes
    hashes: list[bytes]


class LogPart(msgspec.Struct, frozen=True):
    """What the log says, all in the state of one checkpoint. `since`: entries of the older state from which
    `consistency` leads to this one; 0: of none."""

    size: int
    checkpoint: bytes
    files: list[Included]
    since: int = 0
    consistency: list[bytes] = []


class Manifest(msgspec.Struct, frozen=True):
    """Fields are only ever added: a reader passes over those that it does not know."""

    format: int
    session: Session  # without names of people
    listed: BuildList  # the same
    objects: list[Object]  # those that pages and files name, in their order, each once
    log: LogPart
    statements: list[bytes] = []  # envelopes about its files, one of each name (0048)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Manifest).decode


def make(session: Session, listed: BuildList, log: LogPart, statements: Sequence[bytes] = ()) -> Manifest:
    """The manifest of a sealed build. Who asked for what stays at home."""
    shown = msgspec.structs.replace(
        listed,
        pages=[_unsigned(each) for each in listed.pages],
        files=[_unsigned(each) for each in listed.files],
        absent=[_unsigned(each) for each in listed.absent],
    )
    session = msgspec.structs.replace(session, created_by="", list_key="", imported="")
    objects = [Object(*each) for each in named_by(listed)]
    return Manifest(FORMAT, session, shown, objects, log, list(statements))


def _unsigned(entry: Any) -> Any:
    return msgspec.structs.replace(entry, who="")


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes that are signed. The same for equal manifests."""
    return _encode(manifest)


def named_by(listed: BuildList) -> list[Carried]:
    """The objects that a list names, in its order, each once."""
    found: dict[str, Carried] = {}
    for page in listed.pages:
        found.setdefault(page.info.object_key, Carried(page.info.object_key, page.info.size_bytes))
    for stored in filter(None, (file.stored for file in listed.files)):
        found.setdefault(stored.object_key, Carried(stored.object_key, stored.size_bytes))
    return list(found.values())


def logged(listed: BuildList) -> list[str]:
    """SHA256s of the files that the log has, in order, each once. What was read out of a file before that was
    stored is no admission (docs/decisions/0033)."""
    stored = [file.stored for file in listed.files if file.stored is not None]
    return list(dict.fromkeys(each.sha256 for each in stored if not each.provisional))


def read_manifest(head: Head) -> tuple[Manifest, Checkpoint]:
    """What a head holds, with everything in it checked that can be without the objects and without what was
    seen of the log before. Raises `BundleRefused`, which names the place."""
    try:
        manifest = _decode(head.manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleRefused(f"the manifest cannot be read: {error}") from None
    if manifest.format != FORMAT or manifest.listed.format != LIST_FORMAT:
        raise BundleRefused(f"format: {manifest.format}; this Orchard reads {FORMAT}")
    _check_session(manifest)
    _check_entries(manifest.listed)
    objects = [Carried(each.key, each.size) for each in manifest.objects]
    check_objects(objects)
    if objects != named_by(manifest.listed) or not _sizes_agree(manifest.listed, objects):
        raise BundleRefused("objects: not those, in their order and sizes, that pages and files name")
    return manifest, _check_log(manifest, head.key)


def _sizes_agree(listed: BuildList, objects: list[Carried]) -> bool:
    sizes = dict(objects)
    pages = all(sizes[each.info.object_key] == each.info.size_bytes for each in listed.pages)
    stored = (each.stored for each in listed.files if each.stored is not None)
    return pages and all(sizes[each.object_key] == each.size_bytes for each in stored)


def check_goes_on(manifest: Manifest, found: Checkpoint, seen: Checkpoint | None) -> None:
    """That the log goes on from what was seen of it. Raises `BundleRefused`: it is older, or is not proven
    to be the same log."""
    if seen is None:
        return
    log = manifest.log
    if found.size < seen.size:
        raise BundleRefused(f"log: a checkpoint of {found.size} entries, and {seen.size} were seen before")
    if found.size > seen.size and log.since != seen.size:
        raise BundleRefused(
            f"log: it does not show that it goes on from the {seen.size} entries that were seen before: "
            "make the bundle with --since, of the one that was imported last"
        )
    try:
        hashes = log.consistency if found.size > seen.size else []
        check_consistency(seen.size, seen.root, found.size, found.root, hashes)
    except Unproven as error:
        raise BundleRefused(f"log: {error}") from None


def _check_session(manifest: Manifest) -> None:
    session, listed = manifest.session, manifest.listed
    if not (is_build_id(session.id) or is_lock_key(session.id)) or session.id != listed.id:
        raise BundleRefused(f"session: {session.id[:80]!r} is no id of a build, or not that of the list")
    if session.state != "sealed" or (session.name, session.at) != (listed.name, listed.at):
        raise BundleRefused("session: not sealed, or of another list")
    counts = (session.pages, session.files, session.absent)
    if counts != (len(listed.pages), len(listed.files), len(listed.absent)):
        raise BundleRefused("session: it counts other pages and files than the list has")
    _check_texts("session", session)
    check_times("session", (session.created_at, session.sealed_at))


def _check_entries(listed: BuildList) -> None:
    known = set[str]()
    for name, entry in _entries(listed):
        _check_texts(name, entry)
        check_times(name, (entry.at,))
        if entry.key in known:
            raise BundleRefused(f"{name}: {entry.key[:200]} is there twice")
        known.add(entry.key)
        protocol = find_protocol(entry.protocol)
        if protocol is None:
            raise BundleRefused(f"{name}: this Orchard does not speak {entry.protocol[:40]!r}")
    for at, page in enumerate(listed.pages):
        if page.body or not page.info.object_key:
            raise BundleRefused(f"pages[{at}]: {page.identity} is not an object")
        check_headers(f"pages[{at}]", (page.info.etag, page.info.content_type, page.modified))
    check_files(listed)


def _entries(listed: BuildList) -> Iterator[tuple[str, Entry]]:
    kinds: tuple[tuple[str, Iterable[Entry]], ...] = (
        ("pages", listed.pages),
        ("files", listed.files),
        ("absent", listed.absent),
    )
    for kind, entries in kinds:
        for at, entry in enumerate(entries):
            yield f"{kind}[{at}]", entry


def _check_texts(name: str, value: object) -> None:
    """Texts become rows, addresses and headers: none holds what ends a line."""
    for text in _texts(msgspec.to_builtins(value)):
        if len(text) > LONGEST_TEXT or not _CONTROL.isdisjoint(text):
            raise BundleRefused(f"{name}: a text is too long, or holds a control character: {text[:80]!r}")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def _check_log(manifest: Manifest, key: Key) -> Checkpoint:
    log = manifest.log
    try:
        checkpoint = read_checkpoint(log.checkpoint, key)
    except Unproven as error:
        raise BundleRefused(f"log.checkpoint: {error}") from None
    if checkpoint.size != log.size:
        raise BundleRefused(f"log.size: {log.size}, and the checkpoint says {checkpoint.size}")
    if [each.sha256 for each in log.files] != logged(manifest.listed):
        raise BundleRefused("log.files: not one proof for each file, in their order")
    for at, each in enumerate(log.files):
        try:
            check_inclusion(leaf_hash(each.entry), each.index, log.size, each.hashes, checkpoint.root)
            _check_admits(each)
        except Unproven as error:
            raise BundleRefused(f"log.files[{at}]: {error}") from None
    return checkpoint


class _Admission(msgspec.Struct, frozen=True):
    kind: str
    digests: dict[str, str] = {}


_decode_entry = msgspec.json.Decoder(_Admission).decode


def _check_admits(of: Included) -> None:
    try:
        entry = _decode_entry(of.entry)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unproven("its entry cannot be read") from None
    if entry.kind != "admission" or entry.digests.get("sha256") != of.sha256:
        raise Unproven(f"its entry is not the admission of {of.sha256}")


def included(sha256: str, proof: Proof) -> Included:
    """A proof as bundles hold it."""
    return Included(sha256, proof.index, proof.entry, proof.hashes)
