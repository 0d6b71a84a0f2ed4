"""Whatever an archive does to the parser, only its child process suffers, and the reason is told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.extractor.extraction.sandbox.child import Limits
from services.extractor.extraction.sandbox.parent import Outcome, Sandbox
from shared.errors.passing import ObjectMissing, PassingError, ShuttingDown
from shared.objects.files import FileObjectStore
from shared.objects.port import artifact_key
from shared.process.threads import BoundedThreads

PROTOCOLS = "tests.support.hostile_protocols:PROTOCOLS"
MIB = 1024 * 1024
LIMITS = Limits(
    memory_bytes=300 * MIB, cpu_seconds=1, wall_seconds=4.0, budget_bytes=8 * MIB, tasks_per_child=5
)
DATA = b"not really an archive" * 100
SHA256 = hashlib.sha256(DATA).hexdigest()


class RemoteStore(FileObjectStore):
    """As a store that is not on this machine: the child must ask its parent for ranges."""

    reads = 0

    def local_path(self, key: str) -> Path | None:
        return None

    async def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        self.reads += 1
        return await super().read(key, start, length)


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(2)
    yield threads
    await threads.aclose()


@pytest.fixture
async def store(tmp_path: Path, threads: BoundedThreads) -> FileObjectStore:
    store = FileObjectStore(tmp_path / "objects", threads)
    await store.put_bytes(artifact_key(SHA256), DATA)
    return store


@pytest.fixture
async def sandbox(store: FileObjectStore) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(store, children=2, limits=LIMITS, protocols=PROTOCOLS)
    await sandbox.open()
    yield sandbox
    await sandbox.aclose()


async def extract(sandbox: Sandbox, what: str, data: bytes = DATA) -> Outcome:
    sha256 = hashlib.sha256(data).hexdigest()
    return await sandbox.extract(
        protocol="hostile", filename=what, sha256=sha256, key=artifact_key(sha256), size_bytes=len(data)
    )


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_extract__sound_file__result_with_digest_and_bytes_counted(sandbox: Sandbox) -> None:
    outcome = await extract(sandbox, "fine")
    assert outcome.extraction.state == "extracted"
    assert outcome.extraction.sha256 == SHA256
    assert outcome.extraction.name == "read-100"
    assert outcome.raw_metadata == b"raw"
    assert outcome.bytes_read == len(DATA)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("memory-hog", "memory: "),
        ("cpu-hog", "time: "),
        ("sleeper", "time: "),
        ("crash", "crash: signal 11"),
        ("exits", "crash: ended with code 3"),
        ("raises", "invalid: ValueError"),
        ("recursion", "depth: "),
        ("endless-answer", "size: "),
    ],
)
async def test_extract__hostile_file__unextractable_with_the_reason_and_the_next_one_works(
    sandbox: Sandbox, what: str, reason: str
) -> None:
    outcome = await extract(sandbox, what)
    assert outcome.extraction.state == "unextractable"
    assert outcome.extraction.reason.startswith(reason)
    assert outcome.extraction.sha256 == SHA256
    assert outcome.raw_metadata is None
    assert (await extract(sandbox, "fine")).extraction.state == "extracted"
    assert sandbox.active == 0


async def test_extract__parser_hides_that_memory_ran_out__child_goes_on(sandbox: Sandbox) -> None:
    for _ in range(3):
        assert (await extract(sandbox, "memory-hog-that-hides-it")).extraction.reason == "hidden"
        assert (await extract(sandbox, "fine")).extraction.state == "extracted"


async def test_extract__library_prints__channel_is_not_disturbed(sandbox: Sandbox) -> None:
    for _ in range(3):
        assert (await extract(sandbox, "prints")).extraction.state == "extracted"
    assert sandbox.children_started <= 2


async def test_extract__reads_more_than_the_budget__unextractable(
    sandbox: Sandbox, store: FileObjectStore
) -> None:
    large = os.urandom(9 * MIB)
    await store.put_bytes(artifact_key(hashlib.sha256(large).hexdigest()), large)
    outcome = await extract(sandbox, "reads-everything", large)
    assert outcome.extraction.reason.startswith("size: ")


async def test_extract__child_tries_to_write_a_file__cannot(sandbox: Sandbox) -> None:
    root = Path(__file__).parents[5]
    before = set(root.glob("written-by-*"))
    outcome = await extract(sandbox, "writes-a-file")
    left = set(root.glob("written-by-*")) - before
    sizes = [path.stat().st_size for path in left]
    for path in left:
        path.unlink()
    assert outcome.extraction.state == "unextractable"
    assert sum(sizes) == 0


async def test_extract__child_tries_to_connect__has_no_network(
    sandbox: Sandbox, store: FileObjectStore
) -> None:
    if not _namespaces_allowed():
        pytest.skip("this kernel lets no ordinary process leave its network: a container's policy must")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        data = server.getsockname()[1].to_bytes(2, "big")
        await store.put_bytes(artifact_key(hashlib.sha256(data).hexdigest()), data)
        outcome = await extract(sandbox, "connects", data)
    assert outcome.extraction.name != "connected"
    assert outcome.extraction.state == "unextractable"


def _namespaces_allowed() -> bool:
    pid = os.fork()
    if pid == 0:
        import ctypes

        os._exit(1 if ctypes.CDLL(None).unshare(0x10000000 | 0x40000000) else 0)
    return os.waitpid(pid, 0)[1] == 0


async def test_extract__child_looks_for_secrets__environment_is_bare(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHARD_DATABASE_URL", "postgresql://canary")
    await sandbox.aclose()
    fresh = Sandbox(sandbox._store, children=1, limits=LIMITS, protocols=PROTOCOLS)
    names = (await extract(fresh, "environment")).extraction.name
    assert "ORCHARD" not in names
    await fresh.aclose()


async def test_extract__many_at_once__at_most_the_children_there_are(sandbox: Sandbox) -> None:
    outcomes = await asyncio.gather(*(extract(sandbox, "pid") for _ in range(9)))
    assert len({outcome.extraction.name for outcome in outcomes}) <= 4  # 2, and their successors


async def test_extract__child_worn_out__replaced_after_its_tasks(store: FileObjectStore) -> None:
    sandbox = Sandbox(store, children=1, limits=LIMITS, protocols=PROTOCOLS)
    pids = [(await extract(sandbox, "pid")).extraction.name for _ in range(2 * LIMITS.tasks_per_child)]
    assert len(set(pids[: LIMITS.tasks_per_child])) == 1
    assert len(set(pids)) == 2
    await sandbox.aclose()
    assert not any(is_alive(int(pid)) for pid in pids)


async def test_extract__child_grew__replaced(store: FileObjectStore) -> None:
    limits = Limits(memory_bytes=400 * MIB, keep_rss_bytes=100 * MIB)
    sandbox = Sandbox(store, children=1, limits=limits, protocols=PROTOCOLS)
    grown = (await extract(sandbox, "large-but-allowed")).extraction.name
    assert (await extract(sandbox, "pid")).extraction.name != grown
    await sandbox.aclose()


async def test_extract__parent_is_large__its_children_are_not_taken_for_grown(
    store: FileObjectStore,
) -> None:
    """ru_maxrss of a process begins with what its parent had."""
    ballast = bytearray(150 * MIB)
    ballast[::4096] = b"x" * len(ballast[::4096])
    sandbox = Sandbox(store, children=1, limits=Limits(keep_rss_bytes=100 * MIB), protocols=PROTOCOLS)
    pids = {(await extract(sandbox, "pid")).extraction.name for _ in range(3)}
    await sandbox.aclose()
    del ballast
    assert len(pids) == 1


async def test_aclose__children_still_starting__none_left(store: FileObjectStore) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(10):
        sandbox = Sandbox(store, children=2, limits=LIMITS, protocols=PROTOCOLS)
        await sandbox.open()
        await asyncio.sleep(number / 100)
        async with asyncio.timeout(30):
            await sandbox.aclose()
        assert not sandbox._all
    assert len(os.listdir("/proc/self/fd")) == before


async def test_extract__idle_child_killed__next_one_does_not_notice(sandbox: Sandbox) -> None:
    for _ in range(3):
        pid = int((await extract(sandbox, "pid")).extraction.name)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while is_alive(pid):
                await asyncio.sleep(0.01)
    assert (await extract(sandbox, "fine")).extraction.state == "extracted"


@pytest.mark.parametrize(
    ("what", "requirements", "reason"),
    [
        ("fine", ("read-100",), ""),
        ("memory-hog", (), "memory: "),
        ("sleeper", (), "time: "),
        ("crash", (), "crash: signal 11"),
        ("raises", (), "invalid: ValueError"),
    ],
)
async def test_build_needs__hostile_file__why_nobody_can_tell_and_the_next_one_works(
    sandbox: Sandbox, what: str, requirements: tuple[str, ...], reason: str
) -> None:
    for each, wanted, said in ((what, requirements, reason), ("fine", ("read-100",), "")):
        needs = await sandbox.build_needs(
            protocol="hostile", filename=each, sha256=SHA256, key=artifact_key(SHA256), size_bytes=len(DATA)
        )
        assert needs.requirements == wanted and needs.reason.startswith(said), needs
        assert bool(needs.reason) is bool(said)


@pytest.mark.parametrize(
    ("what", "reason"),
    [("fine", ""), ("crash", "crash: "), ("raises", "invalid: ")],
)
async def test_inner_lock__hostile_file__the_reason_and_the_next_one_works(
    sandbox: Sandbox, what: str, reason: str
) -> None:
    for each, said in ((what, reason), ("fine", "")):
        outcome = await sandbox.inner_lock(
            protocol="hostile", filename=each, sha256=SHA256, key=artifact_key(SHA256), size_bytes=len(DATA)
        )
        assert outcome.raw_metadata == (None if said else b"inner")
        assert outcome.extraction.reason.startswith(said) and bool(outcome.extraction.reason) is bool(said)


async def test_extract__object_not_there__object_missing_not_unextractable(sandbox: Sandbox) -> None:
    with pytest.raises(ObjectMissing):
        await extract(sandbox, "fine", b"never stored")
    assert (await extract(sandbox, "fine")).extraction.state == "extracted"


async def test_extract__remote_store__ranges_through_the_parent(
    tmp_path: Path, threads: BoundedThreads
) -> None:
    store = RemoteStore(tmp_path / "remote", threads)
    data = os.urandom(4 * MIB)
    await store.put_bytes(artifact_key(hashlib.sha256(data).hexdigest()), data)
    sandbox = Sandbox(store, children=1, limits=LIMITS, protocols=PROTOCOLS)
    outcome = await extract(sandbox, "fine", data)
    assert outcome.extraction.name == "read-100"
    assert outcome.bytes_read < MIB
    assert (store.reads, (await extract(sandbox, "reads-everything", data)).bytes_read) == (1, len(data))
    with pytest.raises(ObjectMissing):
        await extract(sandbox, "fine", b"never stored")
    assert (await extract(sandbox, "fine", data)).extraction.state == "extracted"
    await sandbox.aclose()


async def test_extract__remote_store_is_slow__its_time_is_not_the_artifacts(
    tmp_path: Path, threads: BoundedThreads
) -> None:
    class SlowStore(RemoteStore):
        async def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
            await asyncio.sleep(1.5)
            return await super().read(key, start, length)

    store = SlowStore(tmp_path / "remote", threads)
    await store.put_bytes(artifact_key(SHA256), DATA)
    limits = Limits(wall_seconds=1.0)
    sandbox = Sandbox(store, children=1, limits=limits, protocols=PROTOCOLS)
    assert (await extract(sandbox, "fine")).extraction.state == "extracted"
    await sandbox.aclose()


async def test_extract__cancelled__child_killed_and_place_free(store: FileObjectStore) -> None:
    sandbox = Sandbox(store, children=1, limits=Limits(), protocols=PROTOCOLS)
    pid = int((await extract(sandbox, "pid")).extraction.name)
    task = asyncio.create_task(extract(sandbox, "sleeper"))
    await asyncio.sleep(0.2)
    assert sandbox.active == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not is_alive(pid)
    assert sandbox.active == 0
    assert (await extract(sandbox, "fine")).extraction.state == "extracted"
    await sandbox.aclose()


async def test_aclose__extraction_under_way__shutting_down_and_no_child_left(
    store: FileObjectStore,
) -> None:
    sandbox = Sandbox(store, children=1, limits=Limits(), protocols=PROTOCOLS)
    pid = int((await extract(sandbox, "pid")).extraction.name)
    task = asyncio.create_task(extract(sandbox, "sleeper"))
    await asyncio.sleep(0.2)
    await sandbox.aclose()
    with pytest.raises(ShuttingDown):
        await task
    assert not is_alive(pid)
    with pytest.raises(ShuttingDown):
        await extract(sandbox, "fine")


async def test_extract__no_child_can_start__passing_error_not_the_artifacts_fault(
    store: FileObjectStore,
) -> None:
    sandbox = Sandbox(store, children=1, limits=LIMITS, protocols="tests.no_such_module:PROTOCOLS")
    await sandbox.open()
    with pytest.raises(PassingError):
        await extract(sandbox, "fine")
    await sandbox.aclose()


async def test_parent_killed__children_die_with_it(tmp_path: Path) -> None:
    root = Path(__file__).parents[5]
    program = f"""
import asyncio
from pathlib import Path
from services.extractor.extraction.sandbox.parent import Sandbox
from shared.objects.files import FileObjectStore
from shared.objects.port import artifact_key
from shared.process.threads import BoundedThreads

async def main():
    store = FileObjectStore(Path({str(tmp_path)!r}) / "objects", BoundedThreads(1))
    await store.put_bytes(artifact_key({SHA256!r}), {DATA!r})
    sandbox = Sandbox(store, children=1, protocols={PROTOCOLS!r})
    kind = dict(protocol="hostile", sha256={SHA256!r}, key=artifact_key({SHA256!r}), size_bytes={len(DATA)})
    print((await sandbox.extract(filename="pid", **kind)).extraction.name, flush=True)
    await sandbox.extract(filename="cpu-hog", **kind)

asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=root, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    while not (line := await parent.stdout.readline()).strip().isdigit():
        assert line, "the parent ended"  # before it: what it logs of its confinement
    pid = int(line)
    assert is_alive(pid)
    parent.kill()
    await parent.wait()
    for _ in range(100):
        if not is_alive(pid):
            break
        await asyncio.sleep(0.05)
    assert not is_alive(pid)
