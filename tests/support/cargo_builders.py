"""Makes crates and the sparse index that lists them, on a scripted upstream."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.upstream import Reply, Upstream

PREFIX = "/cargo"
"""Where the index lies on the scripted upstream (`Cluster` sets ORCHARD_CARGO_UPSTREAM so)."""


def build_crate(
    name: str,
    version: str,
    *,
    files: Mapping[str, str] | None = None,
    manifest: str = "",
    folder: str = "",
    size_bytes: int = 0,
) -> bytes:
    """A crate as `cargo package` makes it; `manifest` goes behind `[package]`, `size_bytes` of incompressible
    filling on top."""
    about = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n{manifest}'
    found = {"Cargo.toml": about, "src/lib.rs": f'pub const NAME: &str = "{name}";\n', **(files or {})}
    contents = {path: text.encode() for path, text in found.items()}
    if size_bytes:
        contents["filling.bin"] = hashlib.shake_128(f"{name} {version}".encode()).digest(size_bytes)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path, content in contents.items():
            info = tarfile.TarInfo(f"{folder or f'{name}-{version}'}/{path}")
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def dependency(text: str) -> dict[str, Any]:
    """One dependency of an index line, of `name requirement`."""
    name, _, req = text.partition(" ")
    about = {"features": [], "optional": False, "default_features": True, "target": None, "kind": "normal"}
    return {"name": name, "req": req, **about}


def index_path(name: str) -> str:
    """Where a crate's index file lies below an index's root."""
    name = name.lower()
    if len(name) <= 3:
        return f"{len(name)}/{name}" if len(name) < 3 else f"3/{name[0]}/{name}"
    return f"{name[:2]}/{name[2:4]}/{name}"


class Registry:
    """A sparse index below /cargo of an upstream, and its crates below /crates, as its config.json says."""

    def __init__(self, upstream: Upstream, *, dl: str = "", prefix: str = PREFIX) -> None:
        self.upstream, self._prefix = upstream, prefix
        config = {"dl": dl or f"{upstream.url}/crates"}
        upstream.put(f"{prefix}/config.json", json.dumps(config).encode(), "application/json")

    def index(self, name: str) -> str:
        """The path of a crate's index file at the upstream."""
        return f"{self._prefix}/{index_path(name)}"

    @staticmethod
    def file(name: str, version: str) -> str:
        """The path of a crate's file at the upstream."""
        return f"/crates/{name}/{version}/download"

    def add(
        self,
        name: str,
        version: str,
        deps: Sequence[str] = (),
        *,
        content: bytes | None = None,
        size_bytes: int = 0,
        manifest: str = "",
        **about: Any,
    ) -> bytes:
        """Publish a version: its file, and its line at the end of the index file. The bytes come back."""
        if content is None:
            tables = "[dependencies]\n" + "".join('{} = "{}"\n'.format(*each.split(" ", 1)) for each in deps)
            content = build_crate(
                name, version, manifest=manifest or (tables if deps else ""), size_bytes=size_bytes
            )
        self.upstream.put(self.file(name, version), content)
        line = {
            "name": name,
            "vers": version,
            "deps": [dependency(each) for each in deps],
            "cksum": hashlib.sha256(content).hexdigest(),
            "features": {},
            "yanked": False,
            **about,
        }
        lines = self.lines(name)
        self.put_lines(name, [*(each for each in lines if each["vers"] != version), line])
        return content

    def lines(self, name: str) -> list[dict[str, Any]]:
        """What a crate's index file holds now."""
        try:
            body = self.upstream.reply(self.index(name)).body
        except KeyError:
            return []
        return [json.loads(line) for line in body.splitlines()]

    def put_lines(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Replace a crate's index file."""
        body = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines)
        self.upstream.put(self.index(name), Reply(body.encode(), "text/plain"))

    def yank(self, name: str, version: str) -> None:
        """Have a version yanked."""
        self.put_lines(
            name, [{**each, "yanked": each["yanked"] or each["vers"] == version} for each in self.lines(name)]
        )
