"""What the command knows of protocols. Generated: `python -m scripts.cli_table > services/cli/table.py`."""

from __future__ import annotations

PROTOCOLS = (
    "pypi",
    "npm",
    "maven",
    "cargo",
)

EXPORTS = (
    "requirements.txt",
    "pylock.toml",
    "build-constraints.txt",
    "package.json",
    "package-lock.json",
    "dependency-management.xml",
    "verification-metadata.xml",
    "Cargo.toml",
    "Cargo.lock",
    "cargo-config.toml",
)

KINDS = {
    "uv.lock": (r"uv\.lock", ""),
    "pylock.toml": (r"pylock(?:\.[^.]+)?\.toml", ""),
    "poetry.lock": (r"poetry\.lock", ""),
    "pdm.lock": (r"pdm\.lock", ""),
    "requirements.txt": (r"(?:.*[-_.])?requirements(?:[-_.].*)?\.txt", ""),
    "package-lock.json": (r"(?:package-lock|npm-shrinkwrap|\.package-lock)\.json", ""),
    "pnpm-lock.yaml": (r"pnpm-lock\.yaml", ""),
    "yarn.lock": (r"yarn\.lock", ""),
    "gradle.lockfile": (r".+\.lockfile", ""),
    "verification-metadata.xml": (r"verification-metadata(?:\..+)?\.xml", ""),
    "Cargo.lock": (r"Cargo\.lock", ""),
    "cyclonedx": (r".+\.json", r'"bomFormat"\s*:\s*"CycloneDX"'),
    "spdx": (r".+\.json", r'"spdxVersion"\s*:\s*"SPDX-2'),
}
"""Locks by kind: expressions of their files' names, and of the first 4 KiB ("": any)."""

MANIFESTS = (
    "package.json",
    "pom.xml",
)
"""What is taken for an ensure file, by kind."""

MEMBERS = {
    "package.json": "workspaces",
}
"""Which of them have members, and under which key the patterns of their folders stand."""

CLIENTS = {
    "pip": "pypi",
    "uv": "pypi",
    "poetry": "pypi",
    "pdm": "pypi",
    "hatch": "pypi",
    "pipx": "pypi",
    "npm": "npm",
    "pnpm": "npm",
    "yarn": "npm",
    "yarn-1": "npm",
    "yarn-4": "npm",
    "bun": "npm",
    "deno": "npm",
    "corepack": "npm",
    "mvn": "maven",
    "gradle": "maven",
    "coursier": "maven",
    "cargo": "cargo",
}
"""By the name of a client's command: its protocol."""

REQUIREMENTS_IN = {
    "pypi": ("requirements", False),
    "npm": ("dependencies", True),
    "maven": ("dependencies", False),
    "cargo": ("requirements", False),
}
"""Where a table of an ensure file lists requirements, and whether by name."""
