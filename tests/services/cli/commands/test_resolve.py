"""A dependency graph as a tree: cycles and deep chains end, nothing is unfolded twice."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from services.cli.commands.resolve import MAX_LINES, draw


def _node(name: str, **more: Any) -> dict[str, Any]:
    return {"purl": f"pkg:pypi/{name}@1", "name": name, "version": "1", **more}


def _edge(source: str, target: str, requirement: str = "") -> dict[str, str]:
    return {"source": f"pkg:pypi/{source}@1" if source else "", "target": f"pkg:pypi/{target}@1",
            "requirement": requirement}  # fmt: skip


def test_draw__a_shared_node_is_unfolded_once() -> None:
    graph = {
        "nodes": [
            _node("a"),
            _node("b", extras=["x", "y"]),
            _node("c", yanked=True, optional=True),
            _node("d"),
        ],
        "edges": [
            _edge("", "a", "a"),
            _edge("a", "b", "b[x,y]"),
            _edge("a", "c", "c>0"),
            _edge("c", "b", "b"),
            _edge("b", "d", "d"),
            _edge("a", "c", "c<9"),
        ],
    }
    assert draw(graph).splitlines() == [
        "a 1  (a)",
        "├── b[x,y] 1  (b[x,y])",
        "│   └── d 1  (d)",
        "└── c 1 optional yanked  (c>0, c<9)",
        "    └── b[x,y] 1  (b) *",
        "4 packages",
    ]


def test_draw__one_package__in_the_singular() -> None:
    assert draw({"nodes": [_node("a")], "edges": [_edge("", "a")]}).splitlines()[-1] == "1 package"


def test_draw__cycle_and_what_is_unresolved__are_listed() -> None:
    graph = {
        "nodes": [_node("a"), _node("b")],
        "edges": [_edge("", "a"), _edge("a", "b"), _edge("b", "a")],
        "cycles": [["pkg:pypi/a@1", "pkg:pypi/b@1"]],
        "unresolved": [{"name": "x", "reason": "gone\x1b[31m", "wanted_by": "pkg:pypi/b@1", "passing": True}],
        "stale": ["b"],
        "truncated": True,
    }
    lines = draw(graph).splitlines()
    assert lines[:3] == ["a 1", "└── b 1", "    └── a 1 *"]
    assert "unresolved: x, wanted by pkg:pypi/b@1: gone\\x1b[31m (passing)" in lines
    assert any(line.startswith("cycle: pkg:pypi/a@1 -> pkg:pypi/b@1") for line in lines)
    assert any(line.startswith("stale: ") for line in lines)
    assert any(line.startswith("truncated: ") for line in lines)


def test_draw__a_chain_deeper_than_pythons_calls__is_drawn() -> None:
    names = [f"n{number}" for number in range(1200)]
    graph = {
        "nodes": [_node(name) for name in names],
        "edges": [_edge("", "n0"), *(_edge(one, two) for one, two in pairwise(names))],
    }
    assert len(draw(graph).splitlines()) == 1201


def test_draw__very_many_edges__cut_off_with_a_word() -> None:
    width = 300
    graph = {
        "nodes": [_node(f"n{number}") for number in range(width)],
        "edges": [_edge("", f"n{one}") for one in range(width)]
        + [_edge(f"n{one}", f"n{two}") for one in range(width) for two in range(width) if one != two],
    }
    lines = draw(graph).splitlines()
    assert len(lines) <= MAX_LINES + 2
    assert "--json" in lines[-2]
