"""How cargo is set up, and what stands in for its default index on this machine."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared.clientfiles.setup import Setup as ClientSetupWanted
from shared.protocols.cargo.clients import cargo
from shared.protocols.cargo.setup import CargoSetup
from shared.protocols.roles.setup import Address, Machine

SETUP = CargoSetup()
REPLACED = '[source.crates-io]\nreplace-with = "mirror"\n'


def machine(files: Mapping[str, str], **environ: str) -> Machine:
    return Machine({"HOME": "/home/me", **environ}, "", lambda path: files.get(str(path), ""))


def upstreams(config: str, **environ: str) -> list[str]:
    found = SETUP.configured_upstreams(machine({"/home/me/.cargo/config.toml": config}, **environ))
    return [url for url, _ in found]


@pytest.mark.parametrize(
    ("config", "url"),
    [
        (REPLACED + '[source.mirror]\nregistry = "sparse+https://mirror.example.com/"', "https://mirror.example.com/"),
        (REPLACED + '[registries.mirror]\nindex = "sparse+https://mirror.example.com/i/"', "https://mirror.example.com/i/"),
        (
            REPLACED + '[source.mirror]\nreplace-with = "b"\n[registries.b]\nindex = "sparse+https://b.example.com/"',
            "https://b.example.com/",
        ),
        ('[source.crates-io]\nregistry = "sparse+https://own.example.com/"', "https://own.example.com/"),
    ],
)  # fmt: skip
def test_configured__what_replaces_the_default_source(config: str, url: str) -> None:
    assert upstreams(config) == [url]


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[[[",
        'source = "x"',
        '[registries.mine]\nindex = "sparse+https://mine.example.com/"',
        REPLACED + '[source.mirror]\nregistry = "https://git.example.com/index"',
        REPLACED + '[source.mirror]\ndirectory = "vendor"',
        REPLACED + '[source.mirror]\nreplace-with = "crates-io"',
    ],
)
def test_configured__no_sparse_index_in_its_place__nothing(config: str) -> None:
    assert upstreams(config) == []


def test_configured__variable_over_the_file_and_the_folder_of_the_variable() -> None:
    config = REPLACED + '[registries.mirror]\nindex = "sparse+https://mirror.example.com/"'
    assert upstreams(config, CARGO_REGISTRIES_MIRROR_INDEX="sparse+https://x.example.com/") == [
        "https://x.example.com/"
    ]
    files = {"/elsewhere/config": config, "/elsewhere/config.toml": "[http]\ncainfo = '/other.pem'"}
    there = machine(files, CARGO_HOME="/elsewhere")
    assert list(SETUP.configured_upstreams(there)) == [
        ("https://mirror.example.com/", "cargo configuration /elsewhere/config")
    ]
    assert SETUP.configured_certificates(there) == ""


def test_certificates__as_the_configuration_says() -> None:
    told = machine({"/home/me/.cargo/config.toml": '[http]\ncainfo = "/etc/ca.pem"'})
    assert SETUP.configured_certificates(told) == "/etc/ca.pem"
    assert SETUP.configured_certificates(machine({})) == ""


def test_public_registry__is_an_address_of_no_page() -> None:
    assert SETUP.public_registry().startswith("https://index.")


# --- the client's file ----------------------------------------------------------------------------


def wanted(folder: Path, **more: bool) -> ClientSetupWanted:
    environ = {"HOME": str(folder / "home")}
    return ClientSetupWanted("http://orchard.example.org", folder / "project", environ, **more)


def test_client__what_is_pasted_is_what_is_written(tmp_path: Path) -> None:
    (edit,) = cargo(wanted(tmp_path)).files
    (hint,) = SETUP.hints(Address("http://orchard.example.org"))
    assert tomllib.loads(edit.snippet) == tomllib.loads("\n".join(hint.lines))
    assert edit.path == tmp_path / "home" / ".cargo" / "config.toml"
    assert edit.edit(edit.snippet) == edit.snippet


def test_client__with_a_token__has_it_told_by_the_variable(tmp_path: Path) -> None:
    (edit,) = cargo(wanted(tmp_path, token=True)).files
    assert (
        "printenv ORCHARD_TOKEN"
        in tomllib.loads(edit.snippet)["registries"]["orchard"]["credential-provider"]
    )


def test_client__keeps_what_else_is_there_and_the_older_name(tmp_path: Path) -> None:
    older = tmp_path / "project" / ".cargo" / "config"
    older.parent.mkdir(parents=True)
    older.write_text("# mine\n[build]\njobs = 2\n")
    (edit,) = cargo(wanted(tmp_path, project=True)).files
    assert edit.path == older
    made = edit.edit(older.read_text())
    assert made.startswith("# mine\n[build]\njobs = 2\n")
    assert tomllib.loads(made)["source"]["crates-io"] == {"replace-with": "orchard"}
    assert f"{older} wins over your own, here." in cargo(wanted(tmp_path)).notes
