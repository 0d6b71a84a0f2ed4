"""Projects that depend on one another, many versions each: what a resolver has to read and choose from."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from bench.harness import corpus

NODES = 100
VERSIONS = 60
ROOTS = 10
_TAGS = (
    "py3-none-any",
    "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
    "cp310-cp310-win_amd64",
    "cp39-cp39-macosx_11_0_arm64",
)


def name(number: int) -> str:
    """The project of one node: g000 … g099."""
    return f"g{number:03d}"


def build(root: Path) -> None:
    """Add the projects below the corpus's `root`, once. The graph is the same every time."""
    done = root / "graph-complete-v2"
    if done.exists():
        return
    chance = random.Random(1)
    for number in range(NODES):
        later = range(number + 2, NODES)
        following = [*range(number + 1, NODES)[:1], *chance.sample(later, min(3, len(later)))]
        requires = [f"{name(n)} (>=1.{chance.randint(0, 5)},<3)" for n in following]
        requires += [f'{name(n)}; python_version < "3.8"' for n in chance.sample(range(NODES), 4)]
        requires += [f'{name(n)}; extra == "test"' for n in chance.sample(range(NODES), 12)]
        _publish(root, name(number), requires)
    # One real file, whose address asks for the graph below it.
    corpus.publish_wheel(root, "groot", [name(n) for n in range(ROOTS)])
    done.touch()


def _publish(root: Path, project: str, requires: list[str]) -> None:
    entries: list[dict[str, object]] = []
    for number in range(VERSIONS):
        version = f"1.{number}"
        text = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\nProvides-Extra: test\n"
        text += "".join(f"Requires-Dist: {each}\n" for each in requires)
        digest = hashlib.sha256(text.encode()).hexdigest()
        for tag in _TAGS:
            filename = f"{project}-{version}-{tag}.whl"
            (root / "files" / f"{filename}.metadata").write_text(text)
            entries.append(
                {
                    "filename": filename,
                    "url": f"../../files/{filename}",
                    "hashes": {"sha256": hashlib.sha256(filename.encode()).hexdigest()},
                    "requires-python": ">=3.8",
                    "size": 10_000 + number,
                    "upload-time": f"2024-01-01T00:00:{number:02d}.000000Z",
                    "core-metadata": {"sha256": digest},
                    "yanked": False,
                }
            )
    corpus.publish(root, project, entries)
