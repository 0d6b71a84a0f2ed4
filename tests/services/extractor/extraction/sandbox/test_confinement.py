"""A child that an archive took over can do nothing: as it is really run, on a kernel that has the means."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.extractor.extraction.sandbox.confinement import filter_of, import_folders
from services.extractor.extraction.sandbox.frames import Ready
from services.extractor.extraction.sandbox.parent import Sandbox
from shared.objects.files import FileObjectStore
from shared.objects.port import artifact_key
from shared.process.threads import BoundedThreads

ROOT = Path(__file__).resolve().parents[5]


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(2)
    yield threads
    await threads.aclose()


async def test_extract__child_taken_over__nothing_but_its_file_and_what_it_imports(
    tmp_path: Path, threads: BoundedThreads
) -> None:
    store = FileObjectStore(tmp_path / "objects", threads)
    secret = tmp_path / "admin-token"
    secret.write_text("orchard_secret")
    lines = [f"{verb} {secret}" for verb in ("read", "write", "append", "remove", "rename", "link", "chmod")]
    lines += ["read /etc/passwd", f"list {tmp_path}", "list /", f"make {tmp_path}/new", f"write {ROOT}/new"]
    lines += [f"list {ROOT}", f"read /proc/{os.getpid()}/environ", "read /proc/self/environ", "fork 1"]
    lines += ["execute /bin/sh", "start /bin/sh", "socket AF_INET", "socket AF_UNIX", "socket AF_NETLINK"]
    lines += [f"signal {os.getpid()}", f"limit {os.getpid()}"]
    possible = [f"read {ROOT}/shared/models.py", f"read {os.__file__}"]
    data = "\n".join(lines + possible).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    await store.put_bytes(artifact_key(sha256), data)
    sandbox = Sandbox(store, children=1, protocols="tests.support.hostile_protocols:PROTOCOLS")
    try:
        outcome = await sandbox.extract(
            protocol="hostile",
            filename="tries",
            sha256=sha256,
            key=artifact_key(sha256),
            size_bytes=len(data),
        )
    finally:
        await sandbox.aclose()
    if sandbox.confined is not None and not (sandbox.confined.landlock_abi and sandbox.confined.seccomp):
        pytest.skip("this kernel has no Landlock or no seccomp filters")
    assert outcome.extraction.state == "extracted", outcome.extraction.reason
    assert outcome.extraction.name.split(" | ") == possible
    assert secret.read_text() == "orchard_secret"


def test_import_folders__data_folder_beside_the_code__not_among_them(tmp_path: Path) -> None:
    folders = import_folders(ROOT)
    assert not any(ROOT.is_relative_to(each) or (ROOT / "data").is_relative_to(each) for each in folders)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filter__each_architecture__whole_instructions_that_end_in_a_refusal(machine: str) -> None:
    code = filter_of(machine)
    assert len(code) % 8 == 0
    assert code[-8:] == bytes.fromhex("0600000001000500")


@pytest.mark.parametrize(
    ("ready", "lacks"),
    [
        (Ready(7, True, True), ()),
        (Ready(0, True, True), ("landlock",)),
        (Ready(1, False, False), ("seccomp", "own network")),
        (Ready(), ("landlock", "seccomp", "own network")),
    ],
)
def test_ready__kernel_that_keeps_less__says_what(ready: Ready, lacks: tuple[str, ...]) -> None:
    assert ready.lacks == lacks
