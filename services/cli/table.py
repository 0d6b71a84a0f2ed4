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
    "package.json",
    "package-lock.json",
    "dependency-management.xml",
    "verification-metadata.xml",
    "Cargo.toml",
    "Cargo.lock",
    "cargo-config.toml",
)

KINDS = (
    "uv.lock",
    "pylock.toml",
    "poetry.lock",
    "pdm.lock",
    "requirements.txt",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "gradle.lockfile",
    "verification-metadata.xml",
    "Cargo.lock",
    "cyclonedx",
    "spdx",
)

CLIENTS = {
    "pip": "pypi",
    "uv": "pypi",
    "poetry": "pypi",
    "npm": "npm",
    "pnpm": "npm",
    "yarn": "npm",
    "yarn-1": "npm",
    "yarn-4": "npm",
    "mvn": "maven",
    "gradle": "maven",
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
