"""`python -m bench.wan`: what clients are told, what is kept of registries, the table, and a whole run."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from bench.wan import clients, recording, rounds
from bench.wan.clients import CLIENTS, Client, Place
from bench.wan.link import Quality, Traffic
from bench.wan.measuring import SETS
from bench.wan.proxy import running_proxy
from bench.wan.recorded import recorded
from bench.wan.report import HEADINGS, Case, Measured, table
from bench.wan.rounds import Round
from tests.support.builders import build_wheel

INDEX = "https://registry.example.com/"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_client__is_told_one_registry_and_its_proxy__and_keeps_nothing_of_this_machine(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "npm_config_registry", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "https://other.example.com/")
    place = Place(INDEX, "http://127.0.0.1:1")
    command = client.make(SETS["small"][client.protocol], place, tmp_path)
    environment = clients.environment(place, tmp_path) | dict(command.environment)
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    said = [*command.arguments, *environment.values(), written]
    assert any(INDEX in each for each in said)
    assert any("127.0.0.1:1" in each or "<port>1</port>" in each for each in said)
    assert not any("other.example.com" in each for each in said)


def test_sets__all_hold_something_for_every_protocol_that_a_client_speaks() -> None:
    assert {"small", "medium"} <= set(SETS)
    for chosen in SETS.values():
        assert all(chosen[client.protocol] for client in CLIENTS)


def test_table__medians_and_multiples_of_direct__failures_counted() -> None:
    def rounds_of(direct: float, cold: float) -> dict[str, Round]:
        seconds = {"direct": direct, "cold": cold, "warm": direct / 4, "offline": direct / 2}
        return {
            kind: Round(each, Traffic(connections=3, received=2_000_000)) for kind, each in seconds.items()
        }

    measured = Measured(
        Case("uv", "small", 50, "registry"), [rounds_of(1, 3), rounds_of(2, 4), rounds_of(9, 4)]
    )
    none = Measured(Case("npm", "small", 50, "registry"), [], ["direct: it ended with 1"])
    head, row, failed = table([measured, none])
    assert len(head) == len(row) == len(failed) == len(HEADINGS)
    assert dict(zip(head, row, strict=True)) == {
        "client": "uv",
        "set": "small",
        "link": "50 ms",
        "upstream": "registry",
        "direct": "2.00 s",
        "cold": "2.00 ×",
        "warm": "0.25 ×",
        "offline": "0.50 ×",
        "upstream MB, direct / cold": "2.0 / 2.0",
        "connections, direct / cold": "3 / 3",
        "slowest request, cold": "0.00 s",
        "runs": "3",
    }
    assert failed[-1] == "0, 1 failed"


def _registry(folder: Path) -> None:
    """Two projects, kept as `recording` keeps them."""
    for name, needs in (("root", ["leaf>=1"]), ("leaf", [])):
        wheel = build_wheel(name, "1.0", requires=needs)
        at = f"files/{name}/{name}-file-id/{name}-1.0-py3-none-any.whl"
        (folder / at).parent.mkdir(parents=True)
        (folder / at).write_bytes(wheel)
        entry = {"filename": Path(at).name, "url": f"../../{at}", "hashes": {}, "core-metadata": True}
        page = {"meta": {"api-version": "1.1"}, "name": name, "versions": ["1.0"], "files": [entry]}
        (folder / "pages").mkdir(exist_ok=True)
        (folder / "pages" / f"{name}.json").write_text(json.dumps(page))
    recording.make_variants(folder)


def test_recorded_pages__once_with_the_metadata_of_what_was_kept__once_without_any(tmp_path: Path) -> None:
    _registry(tmp_path)
    offered, stripped = (
        json.loads(gzip.decompress((tmp_path / each / "root" / "index.json.gz").read_bytes()))["files"][0]
        for each in ("offered", "stripped")
    )
    assert set(offered["core-metadata"]) == {"sha256"}
    assert "core-metadata" not in stripped
    metadata = next(tmp_path.rglob("root-1.0-py3-none-any.whl.metadata")).read_text()
    assert "Requires-Dist: leaf>=1" in metadata


def test_recorded_files_of_maven__have_their_checksums_beside_them(tmp_path: Path) -> None:
    jar = tmp_path / "org" / "a" / "1" / "a-1.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"jar")
    recording.add_checksums(tmp_path)
    assert {path.name for path in jar.parent.iterdir()} == {"a-1.jar", "a-1.jar.sha1", "a-1.jar.md5"}
    assert (jar.parent / "a-1.jar.sha1").read_text() == hashlib.sha1(b"jar").hexdigest()


@pytest.mark.parametrize(
    "said", ["print('no such package'); raise SystemExit(3)", "import time; time.sleep(60)"]
)
def test_client_that_fails_or_hangs__is_ended_and_what_it_said_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(clients, "MOST_SECONDS", 1.0)

    def fail(packages: object, place: Place, work: Path) -> clients.Command:
        return clients.Command([sys.executable, "-c", said])

    with pytest.raises(RuntimeError, match=r"ended with 3:\nno such package|did not end within 1 s"):
        clients.run(Client("none", "pypi", fail, "true"), [], Place(INDEX), tmp_path / "work")


@pytest.mark.slow
@pytest.mark.parametrize("core_metadata", [True, False])
def test_one_run__direct_and_cold_go_over_the_link__warm_and_offline_do_not(
    tmp_path: Path, core_metadata: bool
) -> None:
    client = next(each for each in CLIENTS if each.name == "uv-compile")
    if not client.there or shutil.which("openssl") is None:
        pytest.skip("needs uv and openssl")
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        pytest.skip("needs nginx")
    _registry(tmp_path / "recorded" / "two" / "pypi")
    quality = Quality(0.01, 25e6)
    with (
        recorded(tmp_path / "recorded", tmp_path / "nginx") as server,
        running_proxy(quality, server.names) as proxy,
    ):
        upstream = server.upstream("two", core_metadata=core_metadata)
        done = rounds.run(client, ["root"], upstream, proxy, quality, tmp_path / "run")
    assert list(done) == list(rounds.KINDS)
    assert "leaf==1.0" in (tmp_path / "run" / "client" / "lock").read_text()
    for kind in ("direct", "cold"):
        assert done[kind].traffic.connections == done[kind].traffic.handshakes > 0
        assert done[kind].traffic.received > 1000
    for kind in ("warm", "offline"):
        assert done[kind].traffic == Traffic()
        assert done[kind].requests > 3
    asked = (tmp_path / "nginx" / "access.log").read_text()
    assert (".metadata" in asked) == core_metadata
