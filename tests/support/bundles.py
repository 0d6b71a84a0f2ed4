"""Bundles made by hand: of what files and pages are wanted, by whom is wanted, as true as wanted."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import msgspec

from shared.builds.entries import FORMAT, Absent, BuildList, File, Page, Session
from shared.bundles.form import CARRIED, LEFT_OUT, note_text, write_head
from shared.bundles.manifest import Included, LogPart, Manifest, encode_manifest, logged, make
from shared.models import FileName, StoredFile, VariantInfo
from shared.objects.port import artifact_key
from shared.tlog.dsse import DEPENDENCY, STATEMENT
from shared.tlog.entries import LogEntry, encode_entry
from shared.tlog.making import consistency_ranges, inclusion_ranges
from shared.tlog.signing import Signer
from shared.tlog.trees import leaf_hash, node_hash, tree_root

ID = "b" * 32
SIGNER = Signer("log.example/one", b"1" * 32)
OTHER = Signer("log.example/two", b"2" * 32)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_of(name: str, content: bytes, project: str = "demo") -> File:
    """A file of PyPI as a sealed build lists it."""
    digest = sha256(content)
    stored = StoredFile(digest, len(content), "application/zip", artifact_key(digest), name, 5.0)
    file = FileName("pypi", project, digest, name)
    return File("pypi", file.identity, file, stored, 1.0, "somebody")


def page_of(body: bytes, identity: str = "simple/demo", variant: str = "json.identity") -> Page:
    info = VariantInfo(f'"{sha256(body)[:32]}"', len(body), "application/json", f"builds/{sha256(body)}")
    return Page("pypi", identity, variant, info, at=1.0, who="somebody")


@dataclass
class Log:
    """A transparency log in memory."""

    entries: list[bytes] = field(default_factory=list)

    def admit(self, digest: str, project: str = "demo", file: str = "") -> None:
        entry = LogEntry(
            "admission", "2026-01-01T00:00:00.000000Z", "pypi", project, "", file, digests={"sha256": digest}
        )
        self.entries.append(encode_entry(entry))

    @property
    def places(self) -> dict[str, int]:
        """By SHA256: where its last entry is."""
        return {json.loads(each)["digests"]["sha256"]: at for at, each in enumerate(self.entries)}

    def part(self, files: list[str], signer: Signer, since: int = 0) -> LogPart:
        leaves, size, places = list(map(leaf_hash, self.entries)), len(self.entries), self.places

        @cache
        def root(low: int, high: int) -> bytes:
            if high - low <= 1:
                return leaves[low] if high > low else tree_root([])
            middle = low + (1 << (high - low - 1).bit_length() - 1)
            return node_hash(root(low, middle), root(middle, high))

        found = []
        for digest in files:
            index = places[digest]
            hashes = [root(low, high) for low, high in inclusion_ranges(index, size)]
            found.append(Included(digest, index, self.entries[index], hashes))
        goes_on = [root(low, high) for low, high in consistency_ranges(since, size)] if since else []
        return LogPart(size, signer.checkpoint(size, root(0, size)), found, since, goes_on)


@dataclass
class Made:
    """A bundle, and what it is made of."""

    manifest: Manifest
    contents: dict[str, bytes]  # by key
    signer: Signer = SIGNER
    left_out: frozenset[str] = frozenset()

    def changed(self, change: Callable[[Manifest], Manifest]) -> Made:
        """The same with another manifest, signed by the same."""
        return Made(change(self.manifest), self.contents, self.signer, self.left_out)

    @property
    def data(self) -> bytes:
        out = io.BytesIO()
        manifest = encode_manifest(self.manifest)
        out.write(write_head(self.signer.note(note_text(self.signer.key, manifest)), manifest))
        for key in dict.fromkeys(each.key for each in self.manifest.objects):  # one that lies says some twice
            out.write(LEFT_OUT if key in self.left_out else CARRIED + self.contents.get(key, b""))
        return out.getvalue()


def made(
    files: Mapping[str, bytes],
    pages: Mapping[str, bytes] | None = None,
    *,
    log: Log | None = None,
    signer: Signer = SIGNER,
    since: int = 0,
    id: str = ID,
) -> Made:
    """A true bundle of these files and pages (by identity). What `log` lacks it is given."""
    log = log or Log()
    known = log.places
    listed = BuildList(
        FORMAT,
        id,
        "app",
        "",
        [page_of(body, identity) for identity, body in (pages or {}).items()],
        [file_of(name, content) for name, content in files.items()],
        [Absent("pypi", "index/simple/gone", "project_not_found", "no upstream has gone", 1.0, "somebody")],
    )
    names = {sha256(content): name for name, content in files.items()}
    for digest in logged(listed):
        if digest not in known:
            log.admit(digest, file=names[digest])
    counts = (len(listed.pages), len(listed.files), len(listed.absent))
    session = Session(id, "app", "", "sealed", 1.0, "somebody", time.time(), "builds/" + "0" * 64, *counts)
    manifest = make(session, listed, log.part(logged(listed), signer, since))
    contents = {f"builds/{sha256(body)}": body for body in (pages or {}).values()}
    contents |= {artifact_key(sha256(content)): content for content in files.values()}
    return Made(manifest, contents, signer)


def envelope(
    signer: Signer, name: str, content: bytes, uri: str = "pkg:pypi/demo@1", kind: str = DEPENDENCY
) -> bytes:
    """A statement about a file."""
    subject = {"name": name, "uri": uri, "digest": {"sha256": sha256(content)}}
    told = {"_type": STATEMENT, "predicateType": kind, "subject": [subject], "predicate": {}}
    return signer.envelope(json.dumps(told).encode())


def replaced(manifest: Manifest, kind: str, at: int, /, **fields: object) -> Manifest:
    """With one entry of the list ("pages", "files") changed."""
    entries = list(getattr(manifest.listed, kind))
    entries[at] = msgspec.structs.replace(entries[at], **fields)
    return msgspec.structs.replace(
        manifest, listed=msgspec.structs.replace(manifest.listed, **{kind: entries})
    )
