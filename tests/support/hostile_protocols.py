"""A protocol whose `extract` does what a hostile archive might bring a parser to do.

Imported by the sandbox's children; the file's name says what happens.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar

from shared.models import BuildNeeds, Dependency, Extraction
from shared.protocols.base import PackageProxyBase
from shared.protocols.pypi import PyPIProxy
from shared.protocols.roles.archive import Archive

_TRIES: dict[str, Callable[[str], object]] = {
    "read": lambda path: Path(path).read_bytes(),
    "list": lambda path: os.listdir(path),
    "write": lambda path: Path(path).write_bytes(b"x"),
    "append": lambda path: os.open(path, os.O_WRONLY | os.O_APPEND),
    "remove": lambda path: Path(path).unlink(),
    "rename": lambda path: Path(path).rename(path + ".moved"),
    "make": lambda path: Path(path).mkdir(),
    "link": lambda path: os.link(path, path + ".link"),
    "chmod": lambda path: Path(path).chmod(0o777),
    "execute": lambda path: os.execv(path, [path, "-c", "exit 9"]),
    "start": lambda path: subprocess.run([path, "-c", "exit 0"], check=True),
    "fork": lambda _: os.fork() or os._exit(0),
    "socket": lambda kind: socket.socket(getattr(socket, kind)),
    "signal": lambda pid: os.kill(int(pid), signal.SIGCONT),
    "limit": lambda pid: resource.prlimit(int(pid), resource.RLIMIT_NOFILE),
}


class HostileArchive(Archive):
    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return getattr(self, filename.replace("-", "_"))(file, size_bytes), b"raw"

    def build_needs(self, filename: str, file: BinaryIO, size_bytes: int) -> BuildNeeds:
        return BuildNeeds((self.extract(filename, file, size_bytes)[0].name,))

    def inner_lock(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return self.extract(filename, file, size_bytes)[0], b"inner"

    def fine(self, file: BinaryIO, size_bytes: int) -> Extraction:
        return Extraction(sha256="", state="extracted", name=f"read-{len(file.read(100))}")

    def pid(self, file: BinaryIO, size_bytes: int) -> Extraction:
        return Extraction(sha256="", state="extracted", name=str(os.getpid()))

    def memory_hog(self, file: BinaryIO, size_bytes: int) -> Extraction:
        hoard = []
        while True:
            hoard.append(bytearray(16 * 1024 * 1024))

    def memory_hog_that_hides_it(self, file: BinaryIO, size_bytes: int) -> Extraction:
        try:
            return self.memory_hog(file, size_bytes)
        except Exception:
            return Extraction(sha256="", state="unextractable", reason="hidden")

    def large_but_allowed(self, file: BinaryIO, size_bytes: int) -> Extraction:
        hoard = bytearray(120 * 1024 * 1024)
        hoard[::4096] = b"x" * len(hoard[::4096])
        return Extraction(sha256="", state="extracted", name=str(os.getpid()))

    def cpu_hog(self, file: BinaryIO, size_bytes: int) -> Extraction:
        while True:
            pass

    def sleeper(self, file: BinaryIO, size_bytes: int) -> Extraction:
        time.sleep(600)
        raise AssertionError

    def crash(self, file: BinaryIO, size_bytes: int) -> Extraction:
        ctypes.string_at(1)
        raise AssertionError

    def exits(self, file: BinaryIO, size_bytes: int) -> Extraction:
        os._exit(3)

    def raises(self, file: BinaryIO, size_bytes: int) -> Extraction:
        raise ValueError("a defect")

    def recursion(self, file: BinaryIO, size_bytes: int) -> Extraction:
        return self.recursion(file, size_bytes)

    def prints(self, file: BinaryIO, size_bytes: int) -> Extraction:
        print("x" * 100_000)
        os.write(1, b"\xff" * 1000)
        sys.stdout.flush()
        return Extraction(sha256="", state="extracted")

    def endless_answer(self, file: BinaryIO, size_bytes: int) -> Extraction:
        many = tuple(Dependency(position, "r" * 10_000, "n") for position in range(5_000))
        return Extraction(sha256="", state="extracted", dependencies=many)

    def reads_everything(self, file: BinaryIO, size_bytes: int) -> Extraction:
        while file.read(1024 * 1024):
            pass
        return Extraction(sha256="", state="extracted")

    def writes_a_file(self, file: BinaryIO, size_bytes: int) -> Extraction:
        with Path(f"written-by-{os.getpid()}").open("wb") as out:
            out.write(b"x" * 100_000)
        return Extraction(sha256="", state="extracted")

    def connects(self, file: BinaryIO, size_bytes: int) -> Extraction:
        port = int.from_bytes(file.read(2), "big")
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return Extraction(sha256="", state="extracted", name="connected")

    def tries(self, file: BinaryIO, size_bytes: int) -> Extraction:
        """Do as the file's text says, VERB ARGUMENT in each line; the name tells what was possible."""
        done = []
        for line in file.read().decode().splitlines():
            verb, _, argument = line.partition(" ")
            try:
                _TRIES[verb](argument)
                done.append(line)
            except (OSError, subprocess.SubprocessError):
                pass
        return Extraction(sha256="", state="extracted", name=" | ".join(done))

    def environment(self, file: BinaryIO, size_bytes: int) -> Extraction:
        return Extraction(sha256="", state="extracted", name=",".join(sorted(os.environ)))

    def orphan_check(self, file: BinaryIO, size_bytes: int) -> Extraction:
        return self.sleeper(file, size_bytes)

    def nul_name(self, file: BinaryIO, size_bytes: int) -> Extraction:
        return Extraction(sha256="", state="extracted", dependencies=(Dependency(0, "a\0b", "a"),))

    def is_extractable(self, filename: str) -> bool:
        return True


class HostilePyPIArchive(HostileArchive):
    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return super().extract(filename.partition(".")[0], file, size_bytes)


class HostileProtocol(PyPIProxy):
    name: ClassVar[str] = "hostile"

    @cached_property
    def archive(self) -> Archive:
        return HostileArchive()


class HostilePyPI(PyPIProxy):
    """The same in the place of the real one."""

    @cached_property
    def archive(self) -> Archive:
        return HostilePyPIArchive()


PROTOCOLS: tuple[PackageProxyBase, ...] = (HostileProtocol(), HostilePyPI())
