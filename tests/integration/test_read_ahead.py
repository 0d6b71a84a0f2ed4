"""A client that walks a graph of packages as pip does, through a whole Orchard that reads ahead of it."""

from __future__ import annotations

import json
import random
import re
from urllib.parse import urljoin

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster
from tests.support.upstream import Fault, Upstream

MACHINE = {
    "python": "3.12.3",
    "implementation": {"name": "CPython"},
    "distro": {"libc": {"lib": "glibc", "version": "2.36"}},
    "system": {"name": "Linux"},
    "cpu": "x86_64",
}
HEADERS = {"accept": JSON, "accept-encoding": "gzip", "user-agent": f"pip/25.1 {json.dumps(MACHINE)}"}
PROJECTS = 40
VERSIONS = ("1.0", "1.5", "2.0")


@pytest.fixture(scope="module")
def graph(upstream: Upstream) -> str:
    """Projects that need some of those after them, in one major version; the name of the first."""
    chosen = random.Random(7)
    for number in range(PROJECTS):
        after = range(number + 1, min(number + 8, PROJECTS))
        needs = chosen.sample(list(after), min(3, len(after)))
        requires = [f"made-{each}{chosen.choice(['', '<2', '>=1.2'])}" for each in needs]
        requires += ["absent-extra; extra == 'more'", "absent-system; sys_platform == 'win32'"]
        wheels = {
            f"made_{number}-{version}-py3-none-any.whl": build_wheel(
                f"made-{number}", version, requires=requires
            )
            for version in VERSIONS
        }
        page = upstream.add_project(f"made-{number}", wheels)
        upstream.fault(page, Fault(delay_seconds=0.02))
    return "made-0"


def walk(orchard: Cluster, root: str) -> set[str]:
    """One thing after the other: the page of a project, the metadata of the newest version that will do, the
    pages of what it needs. The projects that were met."""
    met: set[str] = set()
    waiting = [Requirement(root)]
    with httpx.Client(headers=HEADERS, trust_env=False, timeout=30) as client:
        while waiting:
            wanted = waiting.pop(0)
            if wanted.name in met:
                continue
            met.add(wanted.name)
            address = orchard.url(f"/pypi/simple/{wanted.name}/")
            files = client.get(address).raise_for_status().json()["files"]
            fitting = {Version(file["filename"].split("-")[1]): file for file in files}
            file = fitting[max(wanted.specifier.filter(fitting))]
            metadata = client.get(urljoin(address, file["url"]) + ".metadata").raise_for_status().text
            needs = map(Requirement, re.findall("^Requires-Dist: (.*)$", metadata, re.MULTILINE))
            waiting += [each for each in needs if each.marker is None]
    return met


def test_walk__of_one_client__most_is_there_before_it_asks_and_little_is_in_vain(
    orchard: Cluster, upstream: Upstream, graph: str
) -> None:
    met = walk(orchard, graph)
    assert len(met) > PROJECTS / 2
    pages = [each.path.split("/")[2] for each in upstream.seen() if each.path.startswith("/simple/")]
    assert sorted(pages) == sorted(set(pages)), "none was asked for twice"
    fetcher = next(each for each in orchard.services if each.name == "fetcher")
    text = httpx.get(f"{fetcher.base}/metrics", trust_env=False).text
    figures = dict(
        re.findall(r'^orchard_ahead_(fetched|asked)_total\{source="pypi"\} (\S+)$', text, re.MULTILINE)
    )
    fetched, asked = float(figures["fetched"]), float(figures["asked"])
    assert fetched > len(met), "of each project a page and metadata, but for what the client was first at"
    assert asked / fetched >= 0.7
