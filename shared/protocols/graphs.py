"""What every protocol computes from a finished graph: distances from the request, and cycles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def depths(targets: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Distance of each name from the request, which is "" and has -1; roots have 0."""
    found = {"": -1}
    level = [""]
    while level:
        following = []
        for name in level:
            for target in targets.get(name, ()):
                if target not in found:
                    found[target] = found[name] + 1
                    following.append(target)
        level = following
    return found


def find_cycles(targets: Mapping[str, Iterable[str]], kept: set[str]) -> list[list[str]]:
    """The strongly connected sets of more than one name, or of one that leads to itself
    (Tarjan's algorithm, without recursion: chains may be long)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    for start in sorted(kept):
        if start in number:
            continue
        work = [(start, iter(sorted(set(targets.get(start, ())) & kept)))]
        number[start] = low[start] = len(number)
        stack.append(start)
        on_stack.add(start)
        while work:
            name, following = work[-1]
            target = next(following, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == number[name]:
                    cycle: list[str] = []
                    while not cycle or cycle[-1] != name:
                        cycle.append(stack.pop())
                        on_stack.discard(cycle[-1])
                    if len(cycle) > 1 or name in targets.get(name, ()):
                        found.append(sorted(cycle))
            elif target not in number:
                number[target] = low[target] = len(number)
                stack.append(target)
                on_stack.add(target)
                work.append((target, iter(sorted(set(targets.get(target, ())) & kept))))
            elif target in on_stack:
                low[name] = min(low[name], number[target])
    return sorted(found)
