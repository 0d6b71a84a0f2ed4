"""The list of all projects while it is read: what is written is what the whole is rendered to."""

from __future__ import annotations

import json

import pytest

from shared.errors import UpstreamInvalid
from shared.protocols import protocol_named
from shared.protocols.pypi import projects
from shared.protocols.roles.pages import Relayed
from tests.shared.protocols.pypi.support import read, render

JSON = "application/vnd.pypi.simple.v1+json"
META = '"meta":{"_last-serial":7, "api-version":"1.1"}'
ENTRIES = [
    '{"_last-serial": 7, "name": "Demo_One", "x": [{"y": "é"},{"z":{}}]}',
    '{"name":"}, {\\"name\\":\\"no\\\\"}',
    '{"name":"b","a]":"[ ] },"}',
    '["c"], 1, null, "d},"',
    '{"name":"../e"},{"name":7},{}',
    '{"name":"f"}',
]
LIST = f'"projects":[{",".join(ENTRIES)}]'

TEXTS = {
    "what is usual": f"{{{META},{LIST}}}",
    "laid out": json.dumps(json.loads(f"{{{META},{LIST}}}"), indent=2),
    "commas after blanks": f"{{{META} , {LIST.replace('},{', '} , {')} }}",
    "fields around": f'{{"a":1,{META},"b":"\\"projects\\":[",{LIST},"c":{{"projects":[{{}},2]}},"d":1.50}}',
    "an empty list": f'{{{META},"projects":[]}}',
    "nothing that names a project": f'{{{META},"projects":[1,{{}}]}}',
    "no version": f'{{"meta":7,{LIST}}}',
    "a list inside before it": f'{{{META},"x":{{"projects":[1]}},{LIST}}}',
}
META_BEHIND = {
    "meta behind it": f"{{{LIST},{META}}}",
    "no meta": f"{{{LIST}}}",
    "no meta, something behind": f'{{{LIST},"c":1}}',
}


def relayed(representation: str = "json", content_type: str = JSON) -> Relayed:
    found = protocol_named("pypi").pages.relayed("simple/", representation, content_type)
    assert found is not None
    return found


def written(text: bytes, size: int, representation: str = "json") -> bytes:
    """What comes of a text in pieces of one size."""
    relay = relayed(representation)
    pieces = [relay.feed(text[start : start + size]) for start in range(0, len(text), size)]
    return b"".join([*pieces, relay.end()])


@pytest.mark.parametrize("representation", ["json", "html"])
@pytest.mark.parametrize("what", TEXTS)
def test_relayed__however_it_is_cut__as_the_whole_is_rendered(what: str, representation: str) -> None:
    text = TEXTS[what].encode()
    whole = render(read(text, project="", content_type=JSON))[representation]
    assert relayed(representation).content_type == whole.content_type
    for size in range(1, len(text) + 1):
        assert written(text, size, representation) == whole.body, size


@pytest.mark.parametrize("what", META_BEHIND)
def test_relayed__version_behind_the_list__json_alone(what: str) -> None:
    text = META_BEHIND[what].encode()
    whole = render(read(text, project="", content_type=JSON))["json"].body
    for size in range(1, len(text) + 1):
        assert written(text, size) == whole, size
    with pytest.raises(UpstreamInvalid):
        written(text, 7, "html")


def test_relayed__long_list__goes_out_as_it_comes() -> None:
    entries = ",".join(f'{{"name":"p{n}"}}' for n in range(10_000))
    text = f'{{{META},"projects":[{entries}]}}'.encode()
    relay, came, went = relayed(), 0, 0
    for start in range(0, len(text), 5000):
        came += len(text[start : start + 5000])
        went += len(relay.feed(text[start : start + 5000]))
        assert went > came - 200  # one entry, and what was left out of the head
    assert went + len(relay.end()) <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[1]",
        b"{}",
        b'\xef\xbb\xbf{"projects":[]}',
        '{"projects":[]}'.encode("utf-16"),
        b'{"projects":[{"name":"\xff"}]}',
        b'{"projects":[{"name":"a"}',
        b'{"projects":[{"name":"a"}]',
        b'{"projects":[{"name":"a"}]}}',
        b'{"projects":[{"name":"a" "b"}]}',
        b'{"projects":[{"name":"a"}],"projects":[]}',
        b'{"projects":7,"x":1,"projects":[{"name":"a"}]}',
        b'{"x":1,"projects":[{"name":"a"}],"x":2}',
        b'{"meta":{"api-version":"2.0"},"projects":[]}',
        b'{"projects":[],"meta":{"api-version":"2.0"}}',
        b'{"projects":{"name":"a"}}',
        b'{"project\\u0073":[{"name":"a"}]}',
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_relayed__broken_or_told_by_the_whole_alone__an_error(text: bytes, size: int) -> None:
    with pytest.raises(UpstreamInvalid):
        written(text, size)


def test_relayed__nothing_to_cut_at__an_error_before_much_is_held() -> None:
    for text in (b'{"projects":[{"name":"', b'{"x":"'):
        relay = relayed()
        relay.feed(text)
        with pytest.raises(UpstreamInvalid):
            for _ in range(100):
                relay.feed(b"a" * 100_000)


def test_relayed__more_projects_than_are_read__an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.protocols.pypi.relaying.MAX_PROJECTS", 2)
    assert projects.MAX_PROJECTS > 2
    written(b'{"projects":[{"name":"a"},{"name":"b"}]}', 9)
    with pytest.raises(UpstreamInvalid):
        written(b'{"projects":[{"name":"a"},{"name":"b"},{"name":"c"}]}', 9)


def test_relayed__html_and_pages_of_projects__are_answered_whole() -> None:
    pages = protocol_named("pypi").pages
    assert pages.relayed("simple/", "json", "text/html; charset=utf-8") is None
    for identity in ("simple/demo", "json/demo"):
        assert pages.relayed(identity, "json", JSON) is None
