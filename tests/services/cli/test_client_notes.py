"""What leads past Orchard is told: over every client, settings of its files and variables that are set."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.clients import CLIENTS
from shared.clientfiles.setup import Setup

ELSEWHERE = "https://packages.example.com/"


@pytest.mark.parametrize(
    ("tool", "file", "text", "told"),
    [
        ("pip", ".config/pip/pip.conf", f"[global]\nextra-index-url = {ELSEWHERE}\n", "extra-index-url"),
        ("pip", ".config/pip/pip.conf", f"[install]\nfind-links = {ELSEWHERE}\n", "find-links"),
        ("pip", ".config/pip/pip.conf", f"[download]\nindex-url = {ELSEWHERE}\n", "[download]"),
        ("pip", ".config/pip/pip.conf", "[global]\nno-index = true\n", "no-index"),
        ("hatch", ".config/uv/uv.toml", f'extra-index-url = ["{ELSEWHERE}"]\n', "extra-index-url"),
        ("uv", ".config/uv/uv.toml", f'extra-index-url = ["{ELSEWHERE}"]\n', "extra-index-url"),
        ("uv", ".config/uv/uv.toml", f'index-url = "{ELSEWHERE}"\n', "index-url"),
        ("uv", ".config/uv/uv.toml", f'[pip]\nindex-url = "{ELSEWHERE}"\n', "index-url in [pip]"),
        ("uv", ".config/uv/uv.toml", f'[[index]]\nname = "corp"\nurl = "{ELSEWHERE}"\n', "the index corp"),
        ("uv", "project/pyproject.toml", f'[tool.uv]\nindex-url = "{ELSEWHERE}"\n', "of its own"),
        ("poetry", "project/pyproject.toml", '[[tool.poetry.source]]\nname = "corp"\n', "the source corp"),
        ("pdm", ".config/pdm/config.toml", f'[pypi.corp]\nurl = "{ELSEWHERE}"\n', "the index corp"),
        ("npm", ".npmrc", f"@corp:registry={ELSEWHERE}\n", "@corp"),
        ("deno", ".npmrc", f"@corp:registry={ELSEWHERE}\n", "@corp"),
        ("pnpm", "project/pnpm-workspace.yaml", f"registries:\n  default: {ELSEWHERE}\n", "of its own"),
        ("bun", "project/bunfig.toml", f'[install]\nregistry = "{ELSEWHERE}"\n', "of its own"),
        ("yarn-1", ".yarnrc", f'"@corp:registry" "{ELSEWHERE}"\n', "@corp"),
        ("yarn-4", ".yarnrc.yml", f"npmScopes:\n  corp:\n    npmRegistryServer: {ELSEWHERE}\n", "of its own"),
        ("yarn", ".yarnrc.yml", f"npmScopes:\n  corp:\n    npmRegistryServer: {ELSEWHERE}\n", "of its own"),
        ("mvn", ".m2/settings.xml", "<settings><mirrors><mirror><id>corp</id></mirror></mirrors></settings>",
         "the mirror corp"),
        ("cargo", ".cargo/config.toml", f'[registries.corp]\nindex = "{ELSEWHERE}"\n', "[registries.corp]"),
        ("cargo", ".cargo/config.toml", '[registry]\ndefault = "corp"\n', "cargo install"),
    ],
)  # fmt: skip
def test_notes__a_setting_that_leads_past_orchard(
    tmp_path: Path, tool: str, file: str, text: str, told: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    setup = Setup("https://orchard.example.com", project, {"HOME": str(tmp_path), "FAKEROOTKEY": "1"})
    assert not [note for note in CLIENTS[tool](setup).notes if told in note]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert [note for note in CLIENTS[tool](setup).notes if told in note]


@pytest.mark.parametrize(
    ("tool", "variable"),
    [
        ("pip", "PIP_EXTRA_INDEX_URL"),
        ("uv", "UV_EXTRA_INDEX_URL"),
        ("pipx", "UV_INDEX"),
        ("pdm", "PDM_PYPI_URL"),
        ("npm", "npm_config_registry"),
        ("yarn-1", "YARN_REGISTRY"),
        ("yarn-4", "YARN_NPM_REGISTRY_SERVER"),
        ("coursier", "COURSIER_MIRRORS"),
        ("cargo", "CARGO_REGISTRY_DEFAULT"),
    ],
)
def test_notes__a_variable_that_is_set_now(tmp_path: Path, tool: str, variable: str) -> None:
    setup = Setup("https://orchard.example.com", tmp_path, {"HOME": str(tmp_path), variable: ELSEWHERE})
    assert [note for note in CLIENTS[tool](setup).notes if variable in note]
