"""Tools out of User-Agents, as clients and strangers send them."""

from __future__ import annotations

import pytest

from services.gateway.ledger.agents import LONGEST, MOST_TOOLS, OTHER, Agents, tool_of


@pytest.mark.parametrize(
    ("sent", "tool"),
    [
        (b'pip/24.0 {"ci":null,"cpu":"x86_64","installer":{"name":"pip","version":"24.0"}}', ("pip", "24.0")),
        (b'uv/0.4.18 {"installer":{"name":"uv"}}', ("uv", "0.4.18")),
        (b"poetry/1.8.3 CPython/3.11.2 Linux/6.1", ("poetry", "1.8.3")),
        (b"npm/10.8.2 node/v20.17.0 linux x64 workspaces/false", ("npm", "10.8.2")),
        (b"pnpm/9.12.0 npm/? node/v20.17.0 linux x64", ("pnpm", "9.12.0")),
        (b"yarn/1.22.22 npm/? node/v20.17.0 linux x64", ("yarn", "1.22.22")),
        (b"Apache-Maven/3.9.9 (Java 17.0.12; Linux 6.1)", ("Apache-Maven", "3.9.9")),
        (b"Gradle/8.10 (Linux;6.1;amd64) (Debian;17)", ("Gradle", "8.10")),
        (b"cargo/1.85.0 (d73d2caf9 2024-12-31)", ("cargo", "1.85.0")),
        (b"Bun/1.1.30", ("Bun", "1.1.30")),
        (b"curl/8.9.1", ("curl", "8.9.1")),
        (b"got (https://example.com/got)", ("got", "")),
        (b"Artifactory", ("Artifactory", "")),
        (b"", ("", "")),
        (b"   ", ("", "")),
        (b"  pip/24.0", ("pip", "24.0")),
        (b"pip/\xff\xfe", OTHER),
        (b"\x1b[2Jpip/1", OTHER),
        (b"<script>/1", OTHER),
        (b"'; DROP TABLE servings; --", OTHER),
        (b"pip/1\x00", OTHER),
        (b"a" * 65 + b"/1", OTHER),
        (b"pip/" + b"1" * 65, OTHER),
        (b"/1", OTHER),
        (b"pip//1", OTHER),
        (b"pip/1;x", ("pip", "1")),
        ("пип/1".encode(), OTHER),
    ],
)
def test_tool__is_the_first_product_in_plain_characters(sent: bytes, tool: tuple[str, str]) -> None:
    assert tool_of(sent) == tool
    assert Agents().tool(sent[:LONGEST]) == tool


def test_tools_without_end__are_one_from_some_number_on() -> None:
    agents = Agents()
    found = {agents.tool(b"tool/%d" % number) for number in range(3 * MOST_TOOLS)}
    assert len(found) == MOST_TOOLS + 1 and OTHER in found
    assert agents.tool(b"tool/5") == ("tool", "5"), "what was told before still is"
