"""`python -m bench.replays.arrived FILE`: what has arrived at a client, at the end of its build.

Run by the build itself, for `orchard build exec` removes the clients' caches when it ends. FILE gets a JSON
object: path → [bytes, SHA-256], of everything below the working folder, the home and the clients' caches.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

Arrived = dict[str, tuple[int, str]]


def main() -> int:
    scratch = Path(os.environ["PIP_CACHE_DIR"]).parent
    roots = {"project": Path.cwd(), "home": Path.home(), "caches": scratch}
    found: Arrived = {}
    for name, root in roots.items():
        for path in sorted(root.rglob("*")):
            if path.is_symlink():
                data = os.readlink(path).encode()
            elif path.is_file():
                data = path.read_bytes()
            else:
                continue
            data = data.replace(os.fsencode(scratch), b"CACHES")
            found[f"{name}/{_called(path.relative_to(root), root)}"] = (
                len(data),
                hashlib.sha256(data).hexdigest(),
            )
    Path(sys.argv[1]).write_text(json.dumps(found))
    return 0


def _called(path: Path, root: Path) -> Path:
    """uv unpacks each wheel into a folder with a random name: that of its dist-info stands for it."""
    if path.parts[:2] != ("uv", "archive-v0") or len(path.parts) < 4:
        return path
    inside = sorted(each.name for each in root.joinpath(*path.parts[:3]).glob("*.dist-info"))
    return Path(*path.parts[:2], inside[0], *path.parts[3:]) if inside else path


if __name__ == "__main__":
    sys.exit(main())
