"""corepack fetches package managers through Orchard, whichever way the registry's address is written."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.clients.conftest import Tools
from tests.support.npm_builders import build_packument, integrity, put_packument, tarball_path
from tests.support.orchard import cluster
from tests.support.upstream import Upstream


def _package_manager() -> bytes:
    """A pnpm whose command says its version, as corepack runs it."""
    files = {
        "package/package.json": json.dumps(
            {"name": "pnpm", "version": "10.20.0", "bin": {"pnpm": "bin/pnpm.cjs", "pnpx": "bin/pnpx.cjs"}}
        ),
        "package/bin/pnpm.cjs": "console.log('orchard pnpm 10.20.0');",
        "package/bin/pnpx.cjs": "",
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(packed.getvalue(), mtime=0)


@pytest.mark.skipif(shutil.which("corepack") is None, reason="corepack is not installed")
@pytest.mark.parametrize("slash", ["", "/"])
def test_corepack__registry_with_and_without_a_slash_at_its_end__runs_the_package_manager(
    tools: Tools, slash: str, tmp_path: Path
) -> None:
    data = _package_manager()
    with Upstream() as upstream, cluster(tmp_path / "orchard", upstream) as orchard:
        upstream.put(tarball_path("pnpm", "10.20.0"), data)
        document = build_packument(upstream.url, "pnpm", {"10.20.0": data})
        assert document["versions"]["10.20.0"]["dist"]["integrity"] == integrity(data)
        put_packument(upstream, document)
        env = tools.environment(
            COREPACK_HOME=str(tmp_path / "home"),
            COREPACK_NPM_REGISTRY=orchard.url("/npm") + slash,
            COREPACK_INTEGRITY_KEYS="0",
            COREPACK_ENABLE_DOWNLOAD_PROMPT="0",
            PATH=os.environ["PATH"],
        )
        done = tools.run(["corepack", "pnpm@10.20.0", "--version"], env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "orchard pnpm 10.20.0" in done.stdout
