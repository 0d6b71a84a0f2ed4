"""One folder and one line make a protocol: a toy one, added to a copy of the tree, works end to end."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path

import asyncpg
import pytest

from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream

TOY = Path(__file__).parent / "toy_protocol"


def _tree_with_the_toy(folder: Path) -> Path:
    """A copy of the services with the toy's folder and its one line."""
    tree = folder / "tree"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("shared", "services"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    shutil.copytree(TOY, tree / "shared" / "protocols" / "toy", ignore=ignore)
    listing = tree / "shared" / "protocols" / "__init__.py"
    text = listing.read_text()
    last = "from shared.protocols.pypi.proxy import PyPIProxy\n"
    added = text.replace(last, last + "from shared.protocols.toy.proxy import ToyProxy\n").replace(
        "(PyPIProxy(),", "(ToyProxy(), PyPIProxy(),"
    )
    assert added.count("ToyProxy") == 2
    listing.write_text(added)
    return tree


def _add_source(running: Cluster, url: str) -> None:
    async def insert() -> None:
        connection = await asyncpg.connect(running.postgres.url("postgres"))
        try:
            await connection.execute(
                "INSERT INTO upstream_sources (protocol, name, url, priority, allow_private, origin) "
                "VALUES ('toy', 'toy', $1, 100, true, 'operator')",
                url,
            )
        finally:
            await connection.close()

    asyncio.run(insert())


@pytest.mark.slow
def test_toy_protocol__one_folder_one_line__index_file_hit_stale_and_404(tmp_path: Path) -> None:
    content = b"toy bytes " * 1000
    digest = hashlib.sha256(content).hexdigest()
    with Upstream() as upstream:
        upstream.put("/toys/robot/index", f"robot-1.0.bin {digest}\n".encode(), "text/plain")
        upstream.put("/toys/robot/robot-1.0.bin", content)
        tree = _tree_with_the_toy(tmp_path)
        settings = {"ORCHARD_CACHE_TTL_INDEX": "1"}
        with cluster(tmp_path, upstream, tree=tree, **settings) as running:
            _add_source(running, f"{upstream.url}/toys/")
            wait_until(lambda: running.get("/toy/robot/index").status_code == 200, what="the toy's index")
            listed = running.get("/toy/robot/index").text
            assert listed == f"{digest}/robot-1.0.bin"
            first, second = (running.get(f"/toy/robot/{listed}") for _ in range(2))
            assert first.content == second.content == content
            assert second.headers["x-cache"] == "HIT"
            assert upstream.count("/toys/robot/robot-1.0.bin", "GET") == 1
            assert running.get("/toy/robot/index", headers={"X": "y"}).headers["etag"]
            assert running.get("/toy/nothing/index").status_code == 404
            assert running.get("/toy/../etc/passwd").status_code in (400, 404)
            upstream.put("/toys/robot/index", b"robot-1.0.bin " + b"0" * 64, "text/plain")
            upstream.fault("/toys/robot/index", Fault(status=503))
            wait_until(
                lambda: running.get("/toy/robot/index").headers["x-cache"] == "STALE", what="a stale index"
            )
