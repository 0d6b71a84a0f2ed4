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
    "uv.lock": (r"uv\.lock", None),
    "pylock.toml": (r"pylock(?:\.[^.]+)?\.toml", None),
    "poetry.lock": (r"poetry\.lock", None),
    "pdm.lock": (r"pdm\.lock", None),
    "requirements.txt": (r"(?:.*[-_.])?requirements(?:[-_.].*)?\.txt", None),
    "package-lock.json": (r"(?:package-lock|npm-shrinkwrap|\.package-lock)\.json", None),
    "pnpm-lock.yaml": (r"pnpm-lock\.yaml", None),
    "yarn.lock": (r"yarn\.lock", None),
    "gradle.lockfile": (r".+\.lockfile", None),
    "verification-metadata.xml": (r"verification-metadata(?:\..+)?\.xml", None),
    "Cargo.lock": (r"Cargo\.lock", None),
    "cyclonedx": (r".+\.json", ("bomFormat", "CycloneDX")),
    "spdx": (r".+\.json", ("spdxVersion", "SPDX-2")),
}
"""Locks by kind: expressions of their files' names, and the member that marks one."""

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
