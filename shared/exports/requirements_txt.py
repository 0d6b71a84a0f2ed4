"""requirements.txt with hashes: `pip install --require-hashes -r` takes it, uv too.

One environment, so no markers; every project is pinned, so extras add nothing (pip documentation,
"Hash-checking Mode").
"""

from __future__ import annotations

from shared.ensure_lock import Lock


def requirements_txt(lock: Lock) -> bytes:
    """One pin with the SHA256 of its chosen file for each project, by name."""
    graph = lock.protocols["pypi"]
    lines = [f"# ensure {lock.key}", f"# for {graph.environment}"]
    for package in sorted(graph.packages, key=lambda each: each.name):
        lines.append(f"{package.name}=={package.version} \\\n    --hash=sha256:{package.sha256}")
    return ("\n".join(lines) + "\n").encode()
