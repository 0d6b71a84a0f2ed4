"""The process that opens untrusted archives: limited in memory and CPU, and confined by the kernel: no other
files, no programs, no network (confinement.py).

Run by parent.py as `python -m services.extractor.extraction.sandbox.process`; not for people. It reads tasks
from stdin, answers on stdout, and dies with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from services.extractor.extraction.ranges import ByteBudgetExceeded, SeekableObject
from services.extractor.extraction.sandbox.confinement import import_folders, restrict_calls, restrict_files
from services.extractor.extraction.sandbox.frames import (
    Done,
    RangeWanted,
    Ready,
    Task,
    decode_task,
    framed,
    read_frame,
)
from shared.models import BuildNeeds, Extraction
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.archive import Archive

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
MAX_OPEN_FILES = 32
_ROOT = Path(__file__).resolve().parents[4]


def main(arguments: list[str]) -> int:
    """Serve tasks until stdin ends. Arguments: where the protocols are ("module:attribute"), memory
    in bytes, CPU seconds of each task, bytes that may be read of one artifact, and the descriptor of the
    socket on which open files are handed over."""
    place, *numbers = arguments
    memory_bytes, cpu_seconds, budget_bytes, hand_fd = map(int, numbers)
    # A library that prints must not speak on our channel: stdout becomes stderr for everyone else.
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    tasks = sys.stdin.buffer
    module, attribute = place.split(":")
    known: tuple[PackageProxyBase, ...] = getattr(importlib.import_module(module), attribute)
    # Loaded now: once confined, this process can open no module.
    archives = {protocol.name: protocol.archive for protocol in known}
    hand = socket.socket(fileno=hand_fd)
    status = os.open("/proc/self/status", os.O_RDONLY) if Path("/proc/self/status").exists() else -1
    ready = _isolate()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    channel.write(framed(ready))
    while True:
        try:
            task = decode_task(read_frame(tasks))
        except EOFError:
            return 0
        _allow_cpu(cpu_seconds)
        descriptor = _handed(hand) if task.handed else -1
        answer = _run(task, archives[task.protocol], descriptor, partial(_ask, channel, tasks), budget_bytes)
        answer = msgspec.structs.replace(answer, peak_rss_bytes=_peak_rss_bytes(status))
        channel.write(framed(answer))
        if answer.exhausted:
            return 0


def _run(
    task: Task,
    archive: Archive,
    descriptor: int,
    ask: Callable[[int, int], bytes],
    budget_bytes: int,
) -> Done:
    read_range = partial(_read_local, descriptor) if descriptor >= 0 else ask
    file = SeekableObject(read_range, task.size_bytes, budget_bytes=budget_bytes)
    raw_metadata: bytes | None = None
    needs: BuildNeeds | None = None
    exhausted = False
    try:
        if task.wanted == "build":
            needs = archive.build_needs(task.filename, cast(BinaryIO, file), task.size_bytes)
            extraction = Extraction(sha256=task.sha256, state="pending")
        else:
            read = archive.inner_lock if task.wanted == "lock" else archive.extract
            extraction, raw_metadata = read(task.filename, cast(BinaryIO, file), task.size_bytes)
    except MemoryError:
        extraction = _refused(task, "memory: reading it takes more than it may use")
        exhausted = True  # how much of the address space is left is unknown
    except ByteBudgetExceeded:
        extraction = _refused(task, "size: too much of it would have to be read")
    except RecursionError:
        extraction = _refused(task, "depth: nested too deeply")
    except Exception as error:  # they promise not to raise; a defect there must not look like a crash
        extraction = _refused(task, f"invalid: {type(error).__name__}")
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    extraction = msgspec.structs.replace(extraction, sha256=task.sha256)  # `extract` does not know it
    return Done(extraction, raw_metadata, file.bytes_read, 0, exhausted, needs)


def _handed(hand: socket.socket) -> int:
    """The descriptor that the parent sent before this task. Raises `EOFError` when the parent is gone."""
    _, descriptors, _, _ = socket.recv_fds(hand, 1, 1)
    if not descriptors:
        raise EOFError
    return descriptors[0]


def _peak_rss_bytes(status: int) -> int:
    """Of this program, from its open /proc/self/status: `ru_maxrss` begins with what the parent had when it
    forked."""
    with contextlib.suppress(OSError, ValueError):
        for line in os.pread(status, 8192, 0).splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _refused(task: Task, reason: str) -> Extraction:
    return Extraction(sha256=task.sha256, state="unextractable", reason=reason)


def _read_local(descriptor: int, start: int, length: int) -> bytes:
    return os.pread(descriptor, length, start)


def _ask(channel: BinaryIO, tasks: BinaryIO, start: int, length: int) -> bytes:
    channel.write(framed(RangeWanted(start, length)))
    return read_frame(tasks)


def _allow_cpu(seconds: int) -> None:
    """SIGXCPU ends the process when this task has used its share; the limit counts from its birth."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _isolate() -> Ready:
    # A stop is the parent's to handle: it drains, and a child that ended first would look like a crash.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # No network at all, where the kernel lets an ordinary process say so; elsewhere the container's
    # network policy says it.
    own_network = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # never writes a file; pipes are not files
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    landlock_abi = restrict_files(import_folders(_ROOT))
    return Ready(landlock_abi, restrict_calls(), own_network)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(0)
