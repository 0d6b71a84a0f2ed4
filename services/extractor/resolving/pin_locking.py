"""From pins and stored files to the lock of a lock input. Deterministic, as that of an ensure file."""

from __future__ import annotations

from collections.abc import Mapping

from services.extractor.resolving.progress import EnsureProgress, EnsureWork, Failure, Lacking
from shared.errors import Blocked
from shared.models import FileName, StoredFile
from shared.policy.policy import Policy
from shared.protocols.base import PackageProxyBase
from shared.protocols.lock import LOCK_FORMAT, Lock, LockedPackage, LockedProtocol, Missing
from shared.protocols.package_urls import exact_purl
from shared.protocols.roles.pins import Pin, first_different
from shared.protocols.subjects import subject_of_file
from shared.queue.jobs import FetchArtifact
from shared.redis import clock
from shared.resolving.pinned import PinnedFiles


def make_lock(
    key: str,
    files: PinnedFiles,
    work: EnsureWork,
    progress: EnsureProgress,
    policy: Policy,
    protocols: Mapping[str, PackageProxyBase],
) -> Lock:
    """Every pin is in it: as a package, or missing with its cause."""
    missing = [
        Missing("", each.name, f"{each.reason}, no registry's", cause="elsewhere") for each in files.elsewhere
    ]
    made: dict[str, LockedProtocol] = {}
    sizes: dict[str, int] = {}
    for name in files.pins:
        protocol, without = protocols[name], list[Missing]()
        packages: dict[str, LockedPackage] = {}
        for pin in files.pins[name]:
            file = work.pins[name][pin]
            facts = None
            if isinstance(file, FileName):
                facts = work.facts.get(FetchArtifact.of(file).id)
                file = _judged(protocol, pin, file, facts, progress, policy)
            if isinstance(file, Lacking) or facts is None:
                is_absent = pin.optional and isinstance(file, Lacking) and file.cause == "absent"
                (without if is_absent else missing).append(_missing(protocol, pin, file))
                continue
            package = _package(protocol, pin, file, facts)
            packages[package.path] = package
            sizes[package.path] = facts.size_bytes
        made[name] = LockedProtocol([], "", "", [], list(packages.values()), unresolved=without)
    return Lock(
        format=LOCK_FORMAT,
        key=key,
        ensure=files.canonical,
        complete=not missing,
        files=len(sizes),
        size_bytes=sum(sizes.values()),
        protocols=made,
        missing=missing,
    )


def _judged(
    protocol: PackageProxyBase,
    pin: Pin,
    file: FileName,
    facts: StoredFile | None,
    progress: EnsureProgress,
    policy: Policy,
) -> FileName | Lacking:
    """The file, if its stored bytes are the pin's and may be served."""
    if facts is None:
        failure = progress.failed.get(FetchArtifact.of(file).id)
        return Lacking.of(failure or Failure("it was not fetched", passing=True))
    told = {"sha256": facts.sha256, **facts.digests}
    algorithm = first_different(pin.digests, told)
    if algorithm:
        return Lacking("differs", f"its source gives it the {algorithm} {told[algorithm]}")
    if pin.digests and not any(name in told for name, _ in pin.digests):
        names = ", ".join(name for name, _ in pin.digests)
        return Lacking("unverified", f"its lock tells only {names}, which is kept of no file here")
    try:
        policy.check_file(subject_of_file(protocol, file, facts), clock.now())
    except Blocked as error:
        return Lacking("refused", f"{error.code}: {error.message}")
    return file


def _package(protocol: PackageProxyBase, pin: Pin, file: FileName, facts: StoredFile) -> LockedPackage:
    qualifiers = protocol.pins.qualifiers(pin, file.filename)
    return LockedPackage(
        purl=exact_purl(protocol.name, pin.name, pin.version, qualifiers),
        name=pin.name,
        version=pin.version,
        filename=file.filename,
        sha256=facts.sha256,
        size_bytes=facts.size_bytes,
        path=protocol.mount[:-1] + protocol.grammar.artifact_path(file),
        dependencies=[],
    )


def _missing(protocol: PackageProxyBase, pin: Pin, why: FileName | Lacking) -> Missing:
    assert isinstance(why, Lacking)
    return Missing(
        protocol.name,
        pin.name,
        why.reason,
        pin.filename,
        requirement=f"{pin.name} {pin.version}" + (f" ({pin.filename})" if pin.filename else ""),
        passing=why.passing,
        cause=why.cause,
    )
