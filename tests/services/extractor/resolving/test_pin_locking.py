"""The lock of pins: a file is in it only with the pin's own bytes, and if it may be served."""

from __future__ import annotations

import msgspec
import pytest

from services.extractor.resolving.pin_locking import make_lock
from services.extractor.resolving.progress import EnsureProgress, EnsureWork, Failure, Lacking
from shared.models import FileName, StoredFile
from shared.policy.content import told
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import Block
from shared.policy.verdict import Verdict
from shared.protocols import PROTOCOLS
from shared.protocols.lock import Lock
from shared.protocols.roles.pins import Elsewhere, Pin
from shared.queue.jobs import FetchArtifact
from shared.resolving.pinned import PinnedFiles, read_document

A, B = "a" * 64, "b" * 64
FILE = FileName("pypi", "demo", A, "demo-1.0.tar.gz")
STORED = StoredFile(A, 7, "application/gzip", "object", FILE.filename, digests={"sha512": "c" * 128})


def lock_of(
    pin: Pin,
    *,
    file: FileName | Lacking = FILE,
    stored: StoredFile | None = STORED,
    policy: Policy | None = None,
    failure: Failure | None = None,
    elsewhere: tuple[Elsewhere, ...] = (),
) -> Lock:
    work, progress = EnsureWork(), EnsureProgress(started_at=0.0)
    files = PinnedFiles({"pypi": (pin,)}, elsewhere)
    assert read_document(files.document) == files
    work.pins = {"pypi": {pin: file}}
    job = FetchArtifact.of(FILE).id
    if stored is not None:
        work.facts[job] = stored
    if failure is not None:
        progress.failed[job] = failure
    return make_lock(
        files.key, files, work, progress, policy or Policy(), {each.name: each for each in PROTOCOLS}
    )


def pinned(**digests: str) -> Pin:
    return Pin("demo", "1.0", FILE.filename, tuple(sorted(digests.items())))


def test_the_same_bytes__a_package_and_nothing_missing() -> None:
    lock = lock_of(pinned(sha256=A, sha512="c" * 128))
    (package,) = lock.protocols["pypi"].packages
    assert lock.complete and (lock.files, lock.size_bytes, lock.missing) == (1, 7, [])
    assert package.purl == "pkg:pypi/demo@1.0?file_name=demo-1.0.tar.gz"
    assert package.path == f"/pypi/files/demo/{A}/demo-1.0.tar.gz"


@pytest.mark.parametrize(
    ("lock", "cause"),
    [
        (lock_of(pinned(sha256=B)), "differs"),
        (lock_of(pinned(sha256=A, sha512="d" * 128)), "differs"),
        (lock_of(pinned(sha384="e" * 96)), "unverified"),
        (lock_of(pinned(sha256=A), policy=Policy([Block(1, "it steals", sha256=A)])), "refused"),
        (lock_of(pinned(sha256=A), policy=Policy([Block(1, "it steals", "pypi", "demo", "1")])), "refused"),
        (lock_of(pinned(sha256=A), stored=None, failure=Failure("blocked: no", False)), "refused"),
        (lock_of(pinned(sha256=A), stored=None, failure=Failure("file_not_found: no", False)), "absent"),
        (lock_of(pinned(sha256=A), stored=None, failure=Failure("digest_mismatch: x", False)), "differs"),
        (lock_of(pinned(sha256=A), stored=None, failure=Failure("upstream_timeout: x", True)), "failed"),
        (lock_of(pinned(sha256=A), file=Lacking("absent", "no")), "absent"),
    ],
)
def test_anything_else__missing_with_its_cause_and_no_package(lock: Lock, cause: str) -> None:
    assert not lock.complete and lock.protocols["pypi"].packages == []
    (missing,) = lock.missing
    assert (missing.cause, missing.filename, missing.passing) == (cause, FILE.filename, cause == "failed")


def test_what_a_rule_of_the_policy_file_came_to__counts() -> None:
    policy = Policy(named_rules=[NamedRule("x", when="true")])
    stamp = policy.of("pypi", "demo").content_stamp
    for judged, is_complete in (
        (told(stamp, None), True),
        (told(stamp, Verdict(False, "policy", "x: no")), False),
        ("", False),
    ):
        stored = msgspec.structs.replace(STORED, judged=judged)
        assert lock_of(pinned(sha256=A), stored=stored, policy=policy).complete is is_complete


def test_what_no_registry_has__is_missing_beside_what_is_there() -> None:
    lock = lock_of(pinned(sha256=A), elsewhere=(Elsewhere("other", "it comes from git"),))
    assert [each.cause for each in lock.missing] == ["elsewhere"] and not lock.complete
    assert len(lock.protocols["pypi"].packages) == 1
