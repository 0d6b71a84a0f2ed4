"""A toy declares nothing."""

from __future__ import annotations

import io
from typing import BinaryIO

from shared.errors import UpstreamInvalid
from shared.models import Extraction, FileEntry
from shared.protocols.roles.archive import Archive


class ToyArchive(Archive):
    def is_extractable(self, filename: str) -> bool:
        return False

    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return Extraction(sha256="", state="unknown", reason="the toy declares nothing"), None

    def checks_file(self, entry: FileEntry) -> bool:
        return True

    def check_file(self, entry: FileEntry, file: BinaryIO, size_bytes: int) -> None:
        file.seek(-4, io.SEEK_END)
        if file.read(4) == b"ROT!":
            raise UpstreamInvalid(f"{entry.filename} is rotten")
