"""The rows of an import: files, the build, what was seen of the log; all in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from shared.artifacts.rows import stored_file_of, url_columns
from shared.artifacts.statements import STORE as STORE_FILES
from shared.builds.entries import BuildList, File, decode_list, decode_session, encode
from shared.builds.entries import Session as Build
from shared.builds.rows import SEALED, STORE_LOCK
from shared.builds.rows import STORE as STORE_BUILD
from shared.bundles.form import BundleRefused
from shared.bundles.manifest import Manifest
from shared.bundles.statements import Stated
from shared.errors.passing import DatabaseUnavailable, ObjectMissing
from shared.models import CachedUrl, FileName, Role, StoredFile
from shared.objects.port import BUILDS, ObjectStore
from shared.postgres.connection import Session
from shared.protocols import protocol_named
from shared.protocols.reading.views import is_lock_key
from shared.tlog.notes import Checkpoint, Key
from shared.tlog.proofs import Proof, write_proof

BATCH = 500
RACES = 5
SEEN = "SELECT size, root FROM bundle_logs WHERE key = $1"
NOTE_SEEN = """
INSERT INTO bundle_logs (key, size, root) VALUES ($1, $2, $3)
ON CONFLICT (key) DO UPDATE SET size = EXCLUDED.size, root = EXCLUDED.root, seen_at = now()
WHERE bundle_logs.size < EXCLUDED.size
   OR bundle_logs.size = EXCLUDED.size AND bundle_logs.root = EXCLUDED.root
RETURNING true
"""
FORGET_PROOFS = """
WITH proofs AS (DELETE FROM imported_proofs WHERE build = $1)
DELETE FROM imported_statements WHERE build = $1
"""
STORE_PROOFS = """
INSERT INTO imported_proofs (build, key, sha256, proof)
SELECT $1, $2, t.* FROM unnest($3::bytea[], $4::bytea[]) AS t
"""
STORE_STATEMENTS = """
INSERT INTO imported_statements (build, sha256, protocol, project, version, envelope)
SELECT $1, t.* FROM unnest($2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[]) AS t
"""


class Seen(msgspec.Struct, frozen=True):
    """What was seen of another Orchard's log."""

    checkpoint: Checkpoint


async def read_seen(database: Session, key: str) -> Seen | None:
    """None: no bundle that this key has signed was imported."""
    rows = await database.fetch(SEEN, key)
    if not rows:
        return None
    return Seen(Checkpoint(key.partition("+")[0], rows[0]["size"], bytes(rows[0]["root"])))


async def is_imported(database: Session, manifest: Manifest, key: Key, store: ObjectStore) -> bool:
    """Whether this very build is here. Raises `BundleRefused` where another has its id. A lock may be made
    anew under its key: what the same Orchard (`key`) told of it before is replaced."""
    rows = await database.fetch(SEALED, manifest.session.id)
    if not rows:
        return False
    build = decode_session(bytes(rows[0]["session"]))
    try:
        standing = decode_list(await store.read(build.list_key))
    except ObjectMissing:
        raise BundleRefused(
            f"the build {build.id} is here, and its list is lost: `orchard build remove {build.id}` forgets "
            "it; then import it again"
        ) from None
    if _as_recorded(standing) == _as_recorded(manifest.listed):
        return True
    if is_lock_key(build.id) and build.imported == str(key):
        return False
    raise BundleRefused(
        f"session: another build with the id {build.id} is here; `orchard build remove {build.id}` forgets it"
    )


def _as_recorded(listed: BuildList) -> BuildList:
    """Without what differs from one Orchard to the other."""
    entries = {
        "pages": [msgspec.structs.replace(each, who="") for each in listed.pages],
        "files": [_standing(each, 0.0, 0.0, "") for each in listed.files],
        "absent": [msgspec.structs.replace(each, who="") for each in listed.absent],
    }
    return msgspec.structs.replace(listed, **entries)


def _standing(file: File, created_at: float, published: float, judged: str) -> File:
    """As it stands here: rules ask when it came here. Last-Modified stays what was told."""
    assert file.stored is not None
    stored = msgspec.structs.replace(
        file.stored,
        created_at=created_at,
        published=published,
        judged=judged,
        modified=file.stored.modified or file.stored.created_at,
    )
    return msgspec.structs.replace(file, stored=stored, who="")


async def write_rows(
    database: Session,
    store: ObjectStore,
    manifest: Manifest,
    key: Key,
    checkpoint: Checkpoint,
    stated: Mapping[Stated, bytes],
) -> None:
    """In the caller's transaction, which lets no other import in (`NO_REMOVALS`) since it read what was seen
    of the log. Raises `BundleRefused` where other bytes stand under a file's name."""
    standing = await _store_files(database, manifest.listed.files)
    files = [
        _standing(each, found.created_at, found.published, found.judged)
        for each in manifest.listed.files
        for found in (standing[each.file],)
    ]
    listed = msgspec.structs.replace(manifest.listed, files=files)
    body = encode(listed)
    list_key = f"{BUILDS}/{hashlib.sha256(body).hexdigest()}"
    await store.put_bytes(list_key, body)
    build = msgspec.structs.replace(manifest.session, list_key=list_key, imported=str(key))
    keys = [list_key, *(each.key for each in manifest.objects)]
    store_build = STORE_LOCK if is_lock_key(build.id) else STORE_BUILD
    await database.fetch(store_build, build.id, encode(build), sorted(set(keys)))
    _check_stored(build, await database.fetch(SEALED, build.id))
    await _store_proofs(database, manifest, key, stated)
    if not await database.fetch(NOTE_SEEN, str(key), checkpoint.size, checkpoint.root):
        raise BundleRefused("log: another state of it was seen meanwhile")


async def _store_proofs(
    database: Session, manifest: Manifest, key: Key, stated: Mapping[Stated, bytes]
) -> None:
    """In the place of what an older bundle of the same lock told."""
    id, log = manifest.session.id, manifest.log
    await database.fetch(FORGET_PROOFS, id)
    for at in range(0, len(log.files), BATCH):
        some = log.files[at : at + BATCH]
        proofs = [write_proof(Proof(each.entry, each.index, each.hashes, log.checkpoint)) for each in some]
        digests = [bytes.fromhex(each.sha256) for each in some]
        await database.fetch(STORE_PROOFS, id, str(key), digests, proofs)
    about = list(stated)
    for at in range(0, len(about), BATCH):
        rows = [
            (bytes.fromhex(each.sha256), each.protocol, each.project, each.version, stated[each])
            for each in about[at : at + BATCH]
        ]
        await database.fetch(STORE_STATEMENTS, id, *map(list, zip(*rows, strict=True)))


def _check_stored(build: Build, rows: Sequence[object]) -> None:
    if not rows:
        raise DatabaseUnavailable(f"the build {build.id} was not stored")


async def _store_files(database: Session, files: Sequence[File]) -> dict[FileName, StoredFile]:
    """What stands under the name of each. Files of which another stands first are refused, by name."""
    urls = {each.file: _row_of(each) for each in files}
    names, found = sorted(urls), dict[FileName, StoredFile]()
    for at in range(0, len(names), BATCH):
        pending = names[at : at + BATCH]
        for _ in range(RACES):
            if not pending:
                break
            batch = [urls[name] for name in pending]
            for row in await database.fetch(STORE_FILES, *url_columns(batch)):
                found[pending[row["at"]]] = stored_file_of(row)
            pending = [name for name in pending if name not in found]
        else:
            raise DatabaseUnavailable("a row was changed by others each time it was read")
    for name, url in urls.items():
        if found[name].sha256 != url.stored.sha256:
            raise BundleRefused(
                f"files: {name.identity} of {name.protocol} is stored here with other bytes, "
                f"SHA256 {found[name].sha256}, and the bundle has {url.stored.sha256}"
            )
    return found


def _row_of(file: File) -> CachedUrl:
    assert file.stored is not None
    role: Role = "file"
    if protocol_named(file.protocol).archive.parent_of(file.file.filename) is not None:
        role = "provisional" if file.stored.provisional else "metadata"
    stored = msgspec.structs.replace(file.stored, judged="")
    return CachedUrl(file.file, stored, 0, role=role, checked={"bundle": "sha256"})
