"""A backup out of a bucket while clients install, restored into an empty one; refusals leave that empty."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.standalone.backup.manifest import listed_objects, newest_snapshot
from shared.objects.s3.store import S3ObjectStore
from tests.services.standalone.harness import Standalone, tool, wait_for
from tests.support.builders import build_wheel
from tests.support.seaweedfs import SeaweedFS, in_bucket, new_prefix
from tests.support.upstream import Upstream

REAL = "services.standalone"
PROJECTS = 60


def file_of(port: int, project: str) -> bytes:
    """The one file that a project's page names."""
    page = f"http://127.0.0.1:{port}/pypi/simple/{project}/"
    request = urllib.request.Request(page, headers={"accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        path = json.load(answer)["files"][0]["url"]
    with urllib.request.urlopen(urllib.request.Request(urllib.parse.urljoin(page, path)), timeout=30) as file:
        return bytes(file.read())


class Installing:
    """A client that fetches one project after the other; `got`: whole files, in order."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.got: dict[str, bytes] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Installing:
        self._thread.start()
        wait_for(lambda: len(self.got) >= 3, "the first files")
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        for number in range(PROJECTS):
            self.got[f"p{number}"] = file_of(self.port, f"p{number}")


async def keys_of(store: S3ObjectStore) -> list[str]:
    return [each.key async for each in store.list("")]


class Kept:
    """Two backups of an Orchard over a bucket: one while files came, one after it had ended."""

    def __init__(
        self, folder: Path, first: dict[str, Any], second: dict[str, Any], files: list[dict[str, bytes]]
    ) -> None:
        self.folder, self.first, self.second = folder, first, second
        self.before_first, self.all = files


@pytest.fixture(scope="module")
def kept(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder, prefix = tmp_path_factory.mktemp("backup-s3"), new_prefix()
    data, backup = folder / "data", str(folder / "kept")
    bucket = seaweedfs.settings(prefix)
    with Upstream() as upstream:
        for number in range(PROJECTS):
            wheel = build_wheel(f"p{number}", "1.0", size_bytes=20_000)
            upstream.add_project(f"p{number}", {f"p{number}-1.0-py3-none-any.whl": wheel})
        settings = {"ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/", **bucket}
        with Standalone(data, environment=settings, module=REAL) as orchard:
            orchard.wait_until_ready()
            with Installing(orchard.port) as client:
                before = dict(client.got)
                first = json.loads(tool("make", backup, "--json", data=data, **bucket))
            orchard.process.terminate()
            orchard.wait_until_over()
    some = f"artifacts/{next((folder / 'kept' / 'objects' / 'artifacts').glob('*/*')).name}"
    in_bucket(seaweedfs, prefix, lambda store: store.put_bytes(some, b"rot in the bucket"))
    second = json.loads(tool("make", backup, "--json", data=data, **bucket))
    shutil.rmtree(data)
    yield Kept(folder / "kept", first, second, [before, client.got])


def test_backup_of_a_bucket__while_files_come__rows_have_their_objects_and_the_next_copies_what_is_new(
    kept: Kept,
) -> None:
    assert (kept.first["missing"], kept.first["damaged"], kept.first["mended"]) == (0, 0, 0)
    assert kept.first["new_objects"] == kept.first["objects"] >= len(kept.before_first)
    # What decayed in the bucket since is whole in the backup, and stays in it.
    assert (kept.second["missing"], kept.second["damaged"]) == (0, 0)
    assert kept.second["new_objects"] == kept.second["objects"] - kept.first["objects"]
    assert kept.second["objects"] >= PROJECTS


def test_restore_into_a_bucket__upstream_away__serves_every_file(
    kept: Kept, seaweedfs: SeaweedFS, tmp_path: Path
) -> None:
    bucket = seaweedfs.settings(new_prefix())
    tool("restore", str(kept.folder), data=tmp_path / "data", **bucket)
    assert not [*(tmp_path / "data" / "objects").glob("*/*")]
    settings = {"ORCHARD_OFFLINE": "true", **bucket}
    with Standalone(tmp_path / "data", environment=settings, module=REAL) as orchard:
        orchard.wait_until_ready()
        assert {name: file_of(orchard.port, name) for name in kept.all} == kept.all


def test_restore_into_a_bucket__an_object_is_damaged_gone_or_foreign__nothing_is_put(
    kept: Kept, seaweedfs: SeaweedFS, tmp_path: Path
) -> None:
    prefix, copy = new_prefix(), tmp_path / "copy"
    shutil.copytree(kept.folder, copy)
    last, _ = [*listed_objects(newest_snapshot(copy))][-1]
    folder, _, digest = last.partition("/")
    path = copy / "objects" / folder / digest[:2] / digest
    content = path.read_bytes()
    for spoilt in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b"of another backup", None):
        if spoilt is None:
            path.unlink()
        else:
            path.write_bytes(spoilt)
        said = tool("restore", str(copy), data=tmp_path / "data", exit_code=1, **seaweedfs.settings(prefix))
        assert str(path) in said and said.count("\n") == 1
        assert in_bucket(seaweedfs, prefix, keys_of) == []
        assert not (tmp_path / "data").exists()
