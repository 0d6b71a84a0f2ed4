"""cargo through Orchard: fetch, build, update, install and vendor; cold, warm, and with the upstream gone."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.rust import LOCKED, TREE, Cargo, names, needs_cargo, publish_tree, replaced
from tests.services.cli.conftest import Command
from tests.support.cargo_builders import Registry, build_crate
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

ADMIN = "an-operators-token"
DEMO = 'app-lib = "1"'
MAIN = 'fn main() { println!("{} {}", app_lib::NAME, demo_leaf::NAME) }\n'
GONE = Fault(reset=True, cut_at=0)


@pytest.fixture(scope="module", autouse=True)
def _cargo() -> None:
    needs_cargo()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(Registry(server))
        yield server


@pytest.fixture(scope="module")
def registry(upstream: Upstream) -> Registry:
    return Registry(upstream)


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_CACHE_TTL_INDEX": "1", "ORCHARD_ADMIN_TOKEN": ADMIN}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        running.start("gateway", ORCHARD_ANONYMOUS_READ="false")
        yield running


@pytest.fixture
def cargo(orchard: Cluster, tmp_path: Path) -> Cargo:
    made = Cargo(tmp_path, orchard.all_of("gateway")[0].base + "/cargo/")
    made.write(DEMO)
    return made


@pytest.fixture(autouse=True)
def _healed(upstream: Upstream) -> Iterator[None]:
    yield
    upstream.heal()


def _bodies(upstream: Upstream, registry: Registry) -> dict[str, int]:
    """How often each index file was asked for without a validator."""
    return {
        name: len(
            [each for each in upstream.seen(registry.index(name)) if "if-none-match" not in each.headers]
        )
        for name in TREE
    }


def _answered(orchard: Cluster, status_class: str) -> float:
    """How many answers of the protocol Orchard has sent: those of 304 have no body."""
    text = httpx.get(f"{orchard.gateway.base}/metrics", trust_env=False).text
    found = re.findall(r"^orchard_http_requests_total{(.*)} (.*)$", text, re.MULTILINE)
    wanted = ('protocol="cargo"', f'status_class="{status_class}"')
    return sum(float(count) for labels, count in found if all(each in labels for each in wanted))


def test_fetch__cold_warm_and_with_the_upstream_gone(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Warm: no index file is loaded twice, from Orchard or from its upstream."""
    with Upstream() as own:
        registry = Registry(own)
        publish_tree(registry)
        with cluster(tmp_path_factory.mktemp("own"), own, ORCHARD_CACHE_TTL_INDEX="1") as running:
            cargo = Cargo(tmp_path, running.url("/cargo/"))
            cargo.write(DEMO)
            cargo.run("fetch")
            assert cargo.locked() == LOCKED
            assert len(cargo.crates()) == len(TREE)
            lock = cargo.lock
            assert _bodies(own, registry) == dict.fromkeys(TREE, 1)

            whole, unchanged = _answered(running, "2xx"), _answered(running, "3xx")
            cargo.run("update")
            assert _answered(running, "2xx") == whole + 1, (
                "more than config.json, which cargo loads each time"
            )
            assert _answered(running, "3xx") == unchanged + len(TREE)
            assert _bodies(own, registry) == dict.fromkeys(TREE, 1)
            assert cargo.lock == lock

            own.fault("*", GONE)
            for words in (["fetch", "--locked"], ["update"], ["build"]):
                cargo.forget()
                cargo.run(*words)
                assert cargo.lock == lock
            assert all(own.count(registry.file(name, version)) == 1 for name, (version, _) in TREE.items())


def test_lock__is_the_one_that_the_registry_itself_leads_to(
    cargo: Cargo, upstream: Upstream, registry: Registry
) -> None:
    """Source replacement: a lock names the default registry, whoever stands in for it."""
    cargo.run("generate-lockfile")
    through = cargo.lock
    cargo.forget()
    cargo.configure(replaced(f"{upstream.url}/cargo/"))
    (cargo.project / "Cargo.lock").unlink()
    cargo.run("generate-lockfile")
    assert cargo.lock == through
    (source,) = names(through)
    assert source.startswith("registry+") and "127.0.0.1" not in source


def test_build_and_vendor__then_build_of_what_was_vendored_without_a_network(cargo: Cargo) -> None:
    cargo.write(f'{DEMO}\ndemo_leaf = {{ package = "leaf", version = "2" }}', main=MAIN)
    assert "app-lib leaf" in cargo.run("run", "--quiet")
    # By itself `cargo vendor` passes over source replacement.
    cargo.run("vendor", "--quiet", "--respect-source-config", "vendor")
    shutil.rmtree(cargo.target)
    cargo.configure(
        '[source.crates-io]\nreplace-with = "vendored"\n'
        f'[source.vendored]\ndirectory = "{cargo.project / "vendor"}"\n'
    )
    assert "app-lib leaf" in cargo.run("run", "--quiet", "--offline", "--locked")


def test_install__of_a_program__runs(cargo: Cargo, registry: Registry) -> None:
    content = build_crate(
        "hello-tool",
        "1.0.0",
        files={"src/main.rs": 'fn main() { println!("hello from {}", leaf::NAME) }\n'},
        manifest='[dependencies]\nleaf = "2"\n',
    )
    registry.add("hello-tool", "1.0.0", ["leaf ^2"], content=content)
    cargo.run("install", "hello-tool", "--root", str(cargo.home / "root"))
    done = subprocess.run([cargo.home / "root" / "bin" / "hello-tool"], capture_output=True, text=True)
    assert done.stdout == "hello from leaf\n"


def test_update__sees_a_new_version_and_an_older_one_that_was_yanked(
    cargo: Cargo, orchard: Cluster, registry: Registry
) -> None:
    registry.add("moving", "1.0.0")
    registry.add("moving", "1.1.0")
    cargo.write('moving = "1"')
    cargo.run("fetch")
    assert cargo.locked() == ["moving 1.1.0"]
    registry.yank("moving", "1.1.0")
    registry.add("moving", "1.2.0")
    _until_shown(orchard, "mo/vi/moving", '"1.2.0"', yanked=1)
    cargo.run("fetch", "--locked")  # what is locked may be yanked
    cargo.run("update")
    assert cargo.locked() == ["moving 1.2.0"]
    registry.yank("moving", "1.2.0")
    _until_shown(orchard, "mo/vi/moving", '"1.2.0"', yanked=2)
    cargo.run("update")
    assert cargo.locked() == ["moving 1.0.0"]


def _until_shown(orchard: Cluster, path: str, text: str, *, yanked: int) -> None:
    def shown() -> bool:
        body = orchard.get(f"/cargo/{path}").text
        return text in body and body.count('"yanked":true') == yanked

    wait_until(shown, what=f"{text} in {path}")


def test_crate__whose_bytes_are_not_those_of_the_index__is_refused_and_nothing_of_it_kept(
    cargo: Cargo, upstream: Upstream, registry: Registry, orchard: Cluster
) -> None:
    right = registry.add("wrong", "1.0.0", size_bytes=300_000)
    upstream.put(registry.file("wrong", "1.0.0"), build_crate("wrong", "1.0.0", size_bytes=300_001))
    cargo.write('wrong = "1"')
    done = cargo.try_to("fetch")
    assert done.returncode != 0
    assert cargo.crates() == []
    upstream.put(registry.file("wrong", "1.0.0"), right)
    cargo.run("fetch")
    assert cargo.crates() == ["wrong-1.0.0.crate"]


def test_unknown_crate__is_told_so_and_in_an_outage_is_no_404(cargo: Cargo, upstream: Upstream) -> None:
    cargo.write('never-published = "1"')
    done = cargo.try_to("fetch")
    assert "no matching package named `never-published` found" in done.stderr
    upstream.fault("*", GONE)
    cargo.write('never-asked-for = "1"')
    done = cargo.try_to("fetch")
    assert done.returncode != 0
    assert "no matching package" not in done.stderr
    assert "503" in done.stderr


def test_blocked_version__is_not_there_for_cargo(cargo: Cargo, orchard: Cluster, registry: Registry) -> None:
    registry.add("risky", "1.0.0")
    registry.add("risky", "1.1.0")
    made = httpx.post(
        orchard.url("/api/v1/admin/blocks"),
        json={"protocol": "cargo", "name": "risky", "version": "1.1.0", "reason": "it steals"},
        headers={"authorization": f"Bearer {ADMIN}"},
        trust_env=False,
    )
    assert made.is_success, made.text
    cargo.write('risky = "1"')
    cargo.run("fetch")
    assert cargo.locked() == ["risky 1.0.0"]
    cargo.write('risky = "=1.1.0"')
    assert cargo.try_to("fetch").returncode != 0


def test_closed_orchard__wants_a_token_and_gets_it_from_the_configuration(
    orchard: Cluster, tmp_path: Path
) -> None:
    """`auth-required`, a bare token, and what `orchard client-config` writes for it (RFC 3139)."""
    closed = orchard.all_of("gateway")[1].base
    operator = Command(tmp_path, ORCHARD_URL=closed)
    token = str(operator.json("tokens", "create", "cargo", ORCHARD_ADMIN_TOKEN=ADMIN)["token"])
    cargo = Cargo(tmp_path, f"{closed}/cargo/")
    cargo.write(DEMO)
    refused = cargo.try_to("fetch")
    assert refused.returncode != 0
    cargo.configure("")
    said = Command(tmp_path, ORCHARD_URL=closed, ORCHARD_TOKEN=token, CARGO_HOME=str(cargo.home)).json(
        "client-config", "cargo", "--write"
    )
    assert [Path(each["path"]) for each in said["files"]] == [cargo.home / "config.toml"]
    assert token not in (cargo.home / "config.toml").read_text()
    cargo.environment["ORCHARD_TOKEN"] = token
    cargo.run("fetch")
    assert cargo.locked() == LOCKED
    assert len(cargo.crates()) == len(TREE)


def test_ensure__its_exports_build_without_any_configuration_and_with_the_upstream_gone(
    orchard: Cluster, upstream: Upstream, tmp_path: Path
) -> None:
    cargo = Cargo(tmp_path, "")
    cargo.configure("")
    (cargo.project / "src").mkdir(parents=True)
    (cargo.project / "src" / "main.rs").write_text("fn main() {}\n")
    (cargo.project / "orchard.ensure").write_text('[cargo]\nrequirements = ["app-lib@1"]\n')
    command = Command(cargo.project, ORCHARD_URL=orchard.url(""))
    done = command("ensure", "--export", "Cargo.toml", "--export", "Cargo.lock")
    assert done.returncode == 0, done.stdout + done.stderr
    upstream.fault("*", GONE)
    lock = cargo.lock
    cargo.run("build", "--locked")
    assert cargo.lock == lock
    assert len(cargo.crates()) == len(TREE)
    (cargo.project / "Cargo.lock").unlink()
    cargo.run("generate-lockfile")
    assert cargo.lock.partition("[[package]]")[2] == lock.partition("[[package]]")[2]
