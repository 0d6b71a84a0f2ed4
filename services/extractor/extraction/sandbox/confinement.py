"""Confinement of the process that opens untrusted archives: Landlock and seccomp, by system call.

Landlock (kernel 5.13 and later; Documentation/userspace-api/landlock.rst): no file is opened but what Python
imports from, and that for reading. seccomp (Documentation/userspace-api/seccomp_filter.rst): only the system
calls that reading and unpacking need; all others fail with EPERM, so there is no new process, no program, no
socket and no signal to another. Both hold for good and need no privilege.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_LANDLOCK = (444, 445, 446)  # create_ruleset, add_rule, restrict_self: the same on every architecture
_LANDLOCK_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1
_READ = 1 << 2 | 1 << 3  # READ_FILE, READ_DIR
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # of the kernel's ABI: so many rights can be taken away
_NET_ABI, _SCOPE_ABI = 4, 6

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_WRITING = 0o1103  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC: generic values, the same on both architectures

# name: number on x86-64, on aarch64 (-1: it has none). Of a running Python and its unpackers, nothing else.
_CALLS = {
    "read": (0, 63), "write": (1, 64), "open": (2, -1), "close": (3, 57), "stat": (4, -1), "fstat": (5, 80),
    "lstat": (6, -1), "poll": (7, -1), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226),
    "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "ioctl": (16, 29), "pread64": (17, 67), "readv": (19, 65), "writev": (20, 66),
    "access": (21, -1), "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233), "dup": (32, 23),
    "nanosleep": (35, 101), "getpid": (39, 172), "recvmsg": (47, 212), "exit": (60, 93), "uname": (63, 160),
    "fcntl": (72, 25), "getcwd": (79, 17), "readlink": (89, -1), "gettimeofday": (96, 169),
    "getrusage": (98, 165), "sysinfo": (99, 179), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173), "sigaltstack": (131, 132),
    "gettid": (186, 178), "time": (201, -1), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "getdents64": (217, 61), "restart_syscall": (219, 128), "fadvise64": (221, 223),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "exit_group": (231, 94), "openat": (257, 56), "newfstatat": (262, 79), "readlinkat": (267, 78),
    "faccessat": (269, 48), "ppoll": (271, 73), "set_robust_list": (273, 99), "prlimit64": (302, 261),
    "getrandom": (318, 278), "membarrier": (324, 283), "statx": (332, 291), "rseq": (334, 293),
    "faccessat2": (439, 439),
}  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def import_folders(root: Path) -> list[Path]:
    """What Python may still import from: its own library, installed packages, and Orchard's code below
    `root`, where the data folder may lie beside it."""
    found = [Path(each).resolve() for each in sys.path if each]
    return [each for each in found if each != root.resolve()] + [root / "shared", root / "services"]


def restrict_files(readable: Iterable[Path]) -> int:
    """Nothing can be opened from here on but files below `readable`, for reading; nothing executed.

    Needs no_new_privs. The kernel's Landlock ABI, 0 where it has none (and nothing was restricted).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    create, add, restrict = _LANDLOCK
    abi = int(libc.syscall(create, None, ctypes.c_size_t(0), _LANDLOCK_VERSION))
    if abi < 1:
        return 0
    rights = (1 << _FS_BITS.get(abi, 16)) - 1
    attributes = struct.pack("=Q", rights)
    if abi >= _NET_ABI:
        attributes += struct.pack("=Q", 3)  # bind and connect by TCP
    if abi >= _SCOPE_ABI:
        attributes += struct.pack("=Q", 3)  # others' abstract sockets, signals to others
    ruleset = int(libc.syscall(create, attributes, ctypes.c_size_t(len(attributes)), 0))
    if ruleset < 0:
        return 0
    try:
        for path in readable:
            _allow(libc, add, ruleset, path)
        return abi if libc.syscall(restrict, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, add: int, ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not there: nothing is imported from it
        return
    try:
        rights = _READ if path.is_dir() else _READ & ~(1 << 3)
        libc.syscall(add, ruleset, _LANDLOCK_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def restrict_calls() -> bool:
    """Only the system calls of `_CALLS` from here on. Needs no_new_privs. False where the kernel, or its
    architecture, has no filter for it (and nothing was restricted)."""
    machine = platform.machine()
    if machine not in _ARCH or not sys.platform.startswith("linux"):
        return False
    code = filter_of(machine)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def filter_of(machine: str) -> bytes:
    """Classic BPF over struct seccomp_data; a step is struct sock_filter: u16 code, u8 jt, u8 jf, u32 k."""
    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    allow, refuse, kill = 0x7FFF0000, 0x00050001, 0x80000000  # ALLOW, ERRNO | EPERM, KILL_PROCESS
    number, architecture, first, second, third = 0, 4, 16, 24, 32  # offsets; low words of the arguments

    def step(code: int, k: int, true: int = 0, false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, true, false, k)

    column = list(_ARCH).index(machine)
    numbers = {name: pair[column] for name, pair in _CALLS.items() if pair[column] >= 0}
    code = step(load, architecture) + step(equal, _ARCH[machine], true=1) + step(answer, kill)
    code += step(load, number)
    # To open for reading only; limits of no process but this one.
    flags = {"open": second, "openat": third}
    for name, offset in flags.items():
        if name in numbers:
            code += step(equal, numbers.pop(name), false=4) + step(load, offset)
            code += step(any_bit, _WRITING, false=1) + step(answer, refuse) + step(answer, allow)
    code += step(equal, numbers.pop("prlimit64"), false=4) + step(load, first)
    code += step(equal, 0, true=1) + step(answer, refuse) + step(answer, allow)
    for each in sorted(numbers.values()):
        code += step(equal, each, false=1) + step(answer, allow)
    return code + step(answer, refuse)
