"""What a power cut or a careless hand may leave in the data folder: none of it may stop the next start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def _zeros_at_the_end(data: Path) -> None:
    for path in data.glob("redis-queue/**/*.aof"):
        with path.open("ab") as file:
            file.write(bytes(4096))


def _overwritten_inside(data: Path) -> None:
    for path in data.glob("redis-queue/**/*.aof"):
        size = path.stat().st_size
        if size > 200:
            with path.open("r+b") as file:
                file.seek(size // 2)
                file.write(b"\xff" * 40)


def _emptied(name: str) -> Callable[[Path], None]:
    def harm(data: Path) -> None:
        for path in data.glob(name):
            path.write_bytes(b"")

    return harm


def _garbage_ports(data: Path) -> None:
    for path in data.glob("*/port"):
        path.write_text("99999999\n")


def _no_logs(data: Path) -> None:
    for path in data.glob("logs/*"):
        path.unlink()


DAMAGES: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("nothing damaged", lambda data: None),
    ("zeros at the end of the queue's file", _zeros_at_the_end),
    ("the queue's file overwritten inside", _overwritten_inside),
    ("passwords of Redis emptied", _emptied("redis-*/password")),
    ("password of PostgreSQL emptied", _emptied("postgres/password")),
    ("tokens and keys emptied", _emptied("*-token")),
    ("port files with garbage", _garbage_ports),
    ("logs lost", _no_logs),
)
