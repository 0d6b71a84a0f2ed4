"""The list of all projects: its entries stay as they were written, and are looked at one by one."""

from __future__ import annotations

import json

import pytest

from shared.errors import UpstreamInvalid
from tests.shared.protocols.pypi.support import read, render


def test_list__unknown_keys_and_nested_values__stay_byte_for_byte() -> None:
    entry = '{"_last-serial": 7, "name": "Demo_One", "x": [1, {"y": "é"}]}'
    body = f'{{"meta":{{"api-version":"1.1","_last-serial":9}},"projects":[{entry}],"z":1.50}}'.encode()
    document = read(body, project="", content_type="application/json")
    page = render(document)["json"].body
    assert entry.encode() in page and b'"z":1.50' in page
    assert b'<a href="demo-one/">Demo_One</a>' in render(document)["html"].body


@pytest.mark.parametrize("projects", [None, {}, "x", [[]], [1, None, {"name": 1}, {}]])
def test_list__of_another_shape__refused_or_without_what_names_nothing(projects: object) -> None:
    page = {"meta": {"api-version": "1.0"}, "projects": projects}
    if isinstance(projects, list):
        assert json.loads(render(read(page, project=""))["json"].body)["projects"] == []
    else:
        with pytest.raises(UpstreamInvalid):
            read(page, project="")


def test_list__as_html_of_many_pieces__every_link_once_whatever_it_was_cut_at() -> None:
    links = "".join(f'<a href="/simple/project-{n}/">project-{n}</a>\n' for n in range(60_000))
    body = f"<!DOCTYPE html><html><head><title>Simple index</title></head><body>{links}{links}</body></html>"
    assert len(body) > 3 << 20
    document = read(body, project="", content_type="text/html")
    listed = json.loads(render(document)["json"].body)["projects"]
    assert listed == [{"name": f"project-{n}"} for n in range(60_000)]
