"""What pip and uv install straight from an odd upstream, they install through Orchard (decision 23)."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Tools, installed
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Fault, Reply, Upstream

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html; charset=utf-8"
INSTALLERS = ("pip-23.2", "pip-newest", "uv")

Edit = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Row:
    """One oddity of a project's page or file."""

    edit: Edit = lambda page: None  # of the page, with its one file
    raw: Callable[[bytes], bytes] = lambda body: body  # of its JSON text
    html: str = ""  # instead of JSON: {url}, {name}, {sha256}, {md5}
    page: dict[str, str] = field(default_factory=dict)  # headers
    status: int = 200
    hops: int = 0
    coding: str = ""  # of the file
    packed: bool = False
    stricter: bool = False  # safety: Orchard refuses what some client takes


def _file(key: str, value: Any) -> Edit:
    return lambda page: page["files"][0].update({key: value})


def _meta(value: Any) -> Edit:
    return lambda page: page.update(meta=value)


ROWS = {
    "plain": Row(),
    "api-version 1.0 as number": Row(_meta({"api-version": 1.0})),
    "api-version as '1'": Row(_meta({"api-version": "1"})),
    "no meta": Row(lambda page: page.pop("meta")),
    "size null": Row(_file("size", None)),
    "size as text": Row(_file("size", "123")),
    "size with a fraction": Row(_file("size", 12.5)),
    "size below zero": Row(_file("size", -1)),
    "requires-python as number": Row(_file("requires-python", 3)),
    "upload-time that is none": Row(_file("upload-time", "yesterday")),
    "upload-time without a zone": Row(_file("upload-time", "2020-01-02T03:04:05")),
    "yanked empty": Row(_file("yanked", "")),
    "core-metadata null": Row(_file("core-metadata", None)),
    "gpg-sig as text": Row(_file("gpg-sig", "yes")),
    "status as text": Row(lambda page: page.update({"project-status": "archived"})),
    "status null": Row(lambda page: page.update({"project-status": None})),
    "hash of an unknown kind": Row(_file("hashes", {"crc": "ab"})),
    "hashes null": Row(_file("hashes", None)),
    "yanked 0": Row(_file("yanked", 0)),
    "name as number": Row(lambda page: page.update(name=3)),
    "an entry that is none": Row(lambda page: page["files"].append(None)),
    "half an emoji": Row(lambda page: page.update(_note="x\ud83d")),
    "a Latin-1 byte": Row(raw=lambda body: body.replace(b'"meta"', b'"_n": "caf\xe9", "meta"')),
    "a BOM": Row(raw=lambda body: b"\xef\xbb\xbf" + body),
    "NaN": Row(raw=lambda body: body.replace(b'"meta"', b'"_n": NaN, "meta"')),
    "coding identity": Row(page={"content-encoding": "identity"}),
    "coding aws-chunked": Row(page={"content-encoding": "aws-chunked"}),
    "coding unknown": Row(page={"content-encoding": "utf-8"}),
    "status 203": Row(status=203),
    "eight redirects": Row(hops=8),
    "file packed on the way": Row(coding="gzip", packed=True),
    "file said to be packed": Row(coding="x-gzip"),
    "hash behind egg": Row(html='<a href="{url}#egg=x&amp;sha256={sha256}">{name}</a>'),
    "md5 alone": Row(html='<a href="{url}#md5={md5}">{name}</a>'),
    "search form": Row(html='<form><input name=q></form><a href="{url}#sha256={sha256}">{name}</a>'),
    "another charset": Row(
        html='<a href="{url}#sha256={sha256}">{name}</a>', page={"content-type": "text/html; charset=gb2312"}
    ),
    "hash cut": Row(html='<a href="{url}#sha256=abc">{name}</a>', stricter=True),
}


def _project(number: int) -> str:
    return f"odd-{number}"


def _publish(server: Upstream, number: int, row: Row) -> None:
    project = _project(number)
    name = f"odd_{number}-1.0-py3-none-any.whl"
    wheel = build_wheel(project, "1.0", size_bytes=4096)
    headers = {"content-encoding": row.coding} if row.coding else {}
    server.put(f"/files/{name}", Reply(gzip.compress(wheel) if row.packed else wheel, headers=headers))
    url, sha256 = f"{server.url}/files/{name}", hashlib.sha256(wheel).hexdigest()
    if row.html:
        md5 = hashlib.md5(wheel, usedforsecurity=False).hexdigest()
        body, kind = row.html.format(url=url, name=name, sha256=sha256, md5=md5).encode(), HTML
    else:
        page: dict[str, Any] = {"meta": {"api-version": "1.0"}, "name": project}
        page["files"] = [{"filename": name, "url": url, "hashes": {"sha256": sha256}}]
        row.edit(page)
        body, kind = row.raw(json.dumps(page).encode()), JSON
    more = dict(row.page)
    at = f"/simple/{project}/"
    for hop in range(row.hops):
        server.put(at, b"")
        server.fault(at, Fault(redirect=f"/hop/{number}/{hop}/"))
        at = f"/hop/{number}/{hop}/"
    server.put(at, Reply(body, more.pop("content-type", kind), status=row.status, headers=more))


@pytest.fixture(scope="module")
def odd() -> Iterator[Upstream]:
    with Upstream() as server:
        for number, row in enumerate(ROWS.values()):
            _publish(server, number, row)
        yield server


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, odd: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), odd) as running:
        yield running


def _installs(tools: Tools, tool: str, index: str, project: str, target: Path) -> bool:
    if tool == "uv":
        python = tools.command("pip-newest")[0]
        command = [*tools.command("uv"), "pip", "install", "--no-config", "--no-cache", "--python", python]
        command += ["--default-index", index, "--target", str(target), project]
    else:
        command = [*tools.command(tool), "install", "--no-cache-dir", "--retries", "0"]
        command += ["--disable-pip-version-check", "--index-url", index, "--target", str(target), project]
    done = tools.run(command, env=tools.environment(UV_HTTP_RETRIES="0"))
    return done.returncode == 0 and installed(target) != set()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tool", INSTALLERS)
def test_odd_upstream__what_installs_directly__installs_through_orchard(
    odd: Upstream, behind: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    worse = []
    for number, (name, row) in enumerate(ROWS.items()):
        direct = _installs(tools, tool, f"{odd.url}/simple/", _project(number), tmp_path / f"d{number}")
        through = _installs(
            tools, tool, behind.url("/pypi/simple/"), _project(number), tmp_path / f"o{number}"
        )
        print(
            f"{tool:12} {name:30} direct {'yes' if direct else 'no':4} orchard {'yes' if through else 'no'}"
        )
        if row.stricter:
            assert not through, name
        elif direct and not through:
            worse.append(name)
    assert worse == []
