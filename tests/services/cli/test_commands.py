"""The command against a whole Orchard: status, ensure, resolve, what is kept, the operator's commands."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.commands.status import _sandboxes, _states
from tests.services.cli.conftest import LAUNCH, Command
from tests.services.cli.tree import PURLS, publish_tree
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

ADMIN = "an-operators-token"
FILE = """\
[pypi]
requirements = ["app"]

[npm]
dependencies = {left = "^1"}

[maven]
dependencies = ["org.orchard.demo:lib:1.0"]
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(server)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_REQUEST_TIMEOUT": "1"}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


@pytest.fixture
def run(orchard: Cluster, tmp_path: Path) -> Command:
    return Command(tmp_path, ORCHARD_URL=orchard.url(""))


@pytest.fixture
def operator(orchard: Cluster, tmp_path: Path) -> Command:
    return Command(tmp_path, ORCHARD_URL=orchard.url(""), ORCHARD_ADMIN_TOKEN=ADMIN)


# --- status ---------------------------------------------------------------------------------------


def test_status__ok__stores_workers_and_queues(run: Command, orchard: Cluster) -> None:
    wait_until(lambda: orchard.get("/health").json()["status"] == "ok", what="health")
    done = run("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^Orchard \S+ at http://127.0.0.1:\d+/: ok$", done.stdout, re.MULTILINE)
    for word in ("PostgreSQL", "fetcher", "extractor", "artifact", "MB free of"):
        assert word in done.stdout
    value = run.json("status")
    assert value["health"]["status"] == "ok"


def test_status__sandbox_in_part__says_what_it_is_without() -> None:
    workers = {"extractor": [{"sandbox_lacks": ["seccomp", "landlock"]}, {"sandbox_lacks": []}, {}]}
    assert _sandboxes({"workers": workers}) == ["sandbox: without landlock, seccomp (docs/operations.md)"]
    assert _sandboxes({"workers": {"extractor": [{}]}}) == _sandboxes({}) == []


def test_status__headline__also_says_what_fails_and_that_it_is_offline() -> None:
    failing = {"protocol": "npm", "name": "main", "enabled": True, "failing": "upstream_timeout"}
    upstreams = {"items": [failing, {**failing, "name": "paused", "enabled": False}]}
    assert _states({"status": "ok", "offline": False}, upstreams) == "ok; upstreams failing: npm/main"
    assert _states({"status": "ok", "offline": True}, None) == "ok; offline, no upstream is asked"
    assert _states({"status": "ok"}, None) == "ok"  # of an older version


# --- ensure ---------------------------------------------------------------------------------------


def test_ensure__mixed_file__lock_and_exports_written_and_the_second_run_is_identical(
    run: Command, orchard: Cluster, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "orchard.ensure").write_text(FILE)
    names = "requirements.txt,package-lock.json,bom.cdx.json"
    done = run("ensure", "--export", names, "--export", "dependency-management.xml")
    assert done.returncode == 0, done.stderr
    assert "pypi: 2 packages in the cache" in done.stdout
    lock = (tmp_path / "orchard.lock.json").read_bytes()
    packages = [each for part in json.loads(lock)["protocols"].values() for each in part["packages"]]
    assert {each["purl"].partition("?")[0] for each in packages} >= PURLS
    assert "--hash=sha256:" in (tmp_path / "requirements.txt").read_text()
    assert json.loads((tmp_path / "bom.cdx.json").read_bytes())["bomFormat"] == "CycloneDX"
    assert "<artifactId>lib</artifactId>" in (tmp_path / "dependency-management.xml").read_text()
    assert "left" in (tmp_path / "package-lock.json").read_text()

    upstream.fault("*", Fault(reset=True, cut_at=0))
    try:
        printed = subprocess.run(
            [*LAUNCH, "ensure", "--json"], cwd=tmp_path, env=run.environment, capture_output=True, timeout=60
        )
        assert (printed.returncode, printed.stderr) == (0, b"")
        assert printed.stdout.rstrip(b"\n") == lock.rstrip(b"\n")
        assert run("ensure", "--check").returncode == 0
        for package in packages:
            content = orchard.get(package["path"])
            assert content.status_code == 200, package
            assert hashlib.sha256(content.content).hexdigest() == package["sha256"]
    finally:
        upstream.heal()


def test_ensure__json__writes_no_file_but_a_named_one(run: Command, tmp_path: Path) -> None:
    (tmp_path / "orchard.ensure").write_text('[pypi]\nrequirements = ["leaf"]\n')
    run.json("ensure")
    assert [each.name for each in tmp_path.iterdir()] == ["orchard.ensure"]
    run.json("ensure", "--lock", "a/b.json")
    assert json.loads((tmp_path / "a" / "b.json").read_bytes())["format"] == 1


def test_ensure__standard_input__lock_in_this_folder(run: Command, tmp_path: Path) -> None:
    done = run("ensure", "-", given='[pypi]\nrequirements = ["leaf"]\n')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "orchard.lock.json").exists()


def test_ensure__check_of_another_lock__names_the_difference__exit_1(run: Command, tmp_path: Path) -> None:
    (tmp_path / "orchard.ensure").write_text('[pypi]\nrequirements = ["leaf"]\n')
    assert run("ensure").returncode == 0
    (tmp_path / "orchard.ensure").write_text('[pypi]\nrequirements = ["app"]\n')
    kept = (tmp_path / "orchard.lock.json").read_bytes()
    done = run("ensure", "--check")
    assert done.returncode == 1
    assert "+ pkg:pypi/app@1.0" in done.stderr
    assert (tmp_path / "orchard.lock.json").read_bytes() == kept


@pytest.mark.parametrize(
    "more", [[], ["--export", "requirements.txt"], ["--json", "--lock", "orchard.lock.json"]]
)
def test_ensure__incomplete__the_lock_that_was_there_stays_and_what_is_missing_is_named(
    run: Command, upstream: Upstream, tmp_path: Path, more: list[str]
) -> None:
    lock = tmp_path / "orchard.lock.json"
    (tmp_path / "orchard.ensure").write_text('[pypi]\nrequirements = ["leaf"]\n')
    assert run("ensure").returncode == 0
    before = lock.read_bytes()
    name = f"never-there-{len(more)}"
    page = upstream.add_project(
        name, {f"{name.replace('-', '_')}-1.0-py3-none-any.whl": build_wheel(name, "1.0")}
    )
    upstream.fault(page, Fault(status=403))
    try:
        (tmp_path / "orchard.ensure").write_text(f'[pypi]\nrequirements = ["leaf", "{name}"]\n')
        done = run("ensure", *more)
    finally:
        upstream.heal()
    assert done.returncode == 6, done.stdout + done.stderr
    assert name in done.stderr and "No file was written" in done.stderr
    assert lock.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"orchard.ensure", "orchard.lock.json"}
    assert "--json" in more or " of " in done.stdout


def test_ensure__locks_of_clients__each_its_own_lock__exit_8_for_what_no_retry_brings(
    run: Command, tmp_path: Path
) -> None:
    (tmp_path / "orchard.ensure").write_text('[pypi]\nrequirements = ["leaf"]\n')
    assert run("ensure", "--export", "requirements.txt,pylock.toml").returncode == 0
    done = run("ensure", "requirements.txt", "pylock.toml")
    assert done.returncode == 0, done.stderr
    locks = [tmp_path / f"{name}.orchard.lock.json" for name in ("requirements.txt", "pylock.toml")]
    first, second = (json.loads(each.read_text())["protocols"]["pypi"]["packages"] for each in locks)
    assert [each["sha256"] for each in first] == [each["sha256"] for each in second] != []
    other = tmp_path / "pins"
    other.write_text("leaf==2.0 --hash=sha256:" + "0" * 64)
    failed = run("ensure", "pins", "--kind", "requirements.txt")
    assert failed.returncode == 8 and "no file of" in failed.stderr and "No retry brings it" in failed.stderr
    assert not list(tmp_path.glob("pins.*"))
    assert run("ensure", "pins", "requirements.txt", "--lock", "x").returncode == 2
    refused = run("ensure", "pins", "--kind", "uv.lock")
    assert refused.returncode == 2 and "pins: " in refused.stderr


def test_ensure__export_would_overwrite_another_file__refused_unless_forced(
    run: Command, tmp_path: Path
) -> None:
    (tmp_path / "orchard.ensure").write_text('[pypi]\nrequirements = ["leaf"]\n')
    (tmp_path / "requirements.txt").write_text("mine\n")
    done = run("ensure", "--export", "requirements.txt")
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert (tmp_path / "requirements.txt").read_text() == "mine\n"
    assert run("ensure", "--export", "requirements.txt", "--force").returncode == 0
    assert "leaf==2.0" in (tmp_path / "requirements.txt").read_text()


@pytest.mark.parametrize(
    ("text", "exit_code", "said"),
    [
        ('[pypi]\nrequirments = ["leaf"]\n', 2, "orchard.ensure: line 2"),
        ("[pypi\n", 2, "line 1"),
        ('[pypi]\nrequirements = ["one", "two"]\n', 5, "one 1.0 -> shared<2"),
        ('[pypi]\nrequirements = ["no-such-thing"]\n', 1, "no-such-thing"),
    ],
)
def test_ensure__bad_file__says_where_and_why(
    run: Command, tmp_path: Path, text: str, exit_code: int, said: str
) -> None:
    (tmp_path / "orchard.ensure").write_text(text)
    done = run("ensure")
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert said in done.stderr
    assert not (tmp_path / "orchard.lock.json").exists()


@pytest.fixture
def slow(upstream: Upstream, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A file of one package whose wheel does not come before `upstream.heal()`."""
    name = "slow-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: build_wheel(name, "1.0", size_bytes=5000)})
    upstream.fault(f"/files/{name}/{filename}", Fault(stall_at=100))
    (tmp_path / "orchard.ensure").write_text(f'[pypi]\nrequirements = ["{name}"]\n')
    yield name
    upstream.heal()


def test_ensure__ctrl_c__says_that_the_work_goes_on__exit_130(run: Command, slow: str) -> None:
    process = run.start("ensure")
    assert process.stderr is not None
    first = process.stderr.readline()  # a line of progress: it waits
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "resolving" in first or "fetching" in first
    assert "Orchard goes on with the work" in rest
    assert "Traceback" not in rest


def test_ensure__timeout__exit_6(run: Command, slow: str) -> None:
    done = run("ensure", "--timeout", "1.5", "--quiet")
    assert (done.returncode, done.stdout) == (6, "")
    assert "the work goes on" in done.stderr


def test_ensure__terminal__a_bar_that_is_wiped_in_the_end(run: Command, slow: str) -> None:
    ours, theirs = pty.openpty()
    process = run.start("ensure", "--timeout", "3", stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:
        pass  # the other side has gone
    finally:
        os.close(ours)
    process.communicate(timeout=20)
    assert process.returncode == 6
    assert re.search(rb"\r\[[#.]{24}\]", seen)
    assert b"\r\x1b[K" in seen


def test_output_is_cut_off__no_traceback(run: Command) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = run.start("status", "--json", stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 141
    assert said == ""


# --- resolve --------------------------------------------------------------------------------------


def test_resolve__requirements__tree_and_json(run: Command) -> None:
    done = run("resolve", "app", "leaf")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "app 1.0  (app)",
        "└── leaf 2.0  (leaf>=1)",
        "leaf 2.0  (leaf)",
        "2 packages",
    ]
    graph = run.json("resolve", "app")
    assert {each["purl"] for each in graph["nodes"]} == {"pkg:pypi/app@1.0", "pkg:pypi/leaf@2.0"}


@pytest.mark.parametrize(
    ("protocol", "requirement", "line"),
    [("npm", "left@^1", "left 1.2.0"), ("maven", "org.orchard.demo:lib:1.0", "org.orchard.demo:lib 1.0")],
)
def test_resolve__other_protocols(run: Command, protocol: str, requirement: str, line: str) -> None:
    done = run("resolve", "--protocol", protocol, requirement)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(line)


def test_resolve__stored_file_by_its_sha256(run: Command, orchard: Cluster) -> None:
    content = orchard.get(orchard.file_path("app", "app-1.0-py3-none-any.whl")).content
    done = run("resolve", hashlib.sha256(content).hexdigest().upper())
    assert done.returncode == 0, done.stderr
    assert "└── leaf 2.0" in done.stdout


def test_resolve__conflict__the_chains__exit_5(run: Command) -> None:
    done = run("resolve", "one", "two")
    assert (done.returncode, done.stdout) == (5, "")
    for line in ("request -> one 1.0 -> shared<2", "request -> two 1.0 -> shared>=2"):
        assert line in done.stderr
    error = json.loads(run("resolve", "one", "two", "--json").stderr)["error"]
    assert (error["code"], error["exit_code"]) == ("resolution_conflict", 5)


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (["no-such-thing"], 1, "no-such-thing"),
        (["0" * 64], 1, "ask for the file once"),
        (["app", "--environment", "cp27-dos"], 2, "environment"),
        (["app", "--as-of", "yesterday"], 2, "as_of"),
    ],
)
def test_resolve__bad_requirement__says_why(
    run: Command, words: list[str], exit_code: int, said: str
) -> None:
    done = run("resolve", *words)
    assert done.returncode == exit_code, done.stderr
    assert said in done.stderr


def test_resolve__refresh_without_the_token__names_the_variable__exit_4(
    run: Command, operator: Command
) -> None:
    done = run("resolve", "app", "--refresh")
    assert done.returncode == 4
    assert "ORCHARD_ADMIN_TOKEN" in done.stderr
    assert operator("resolve", "app", "--refresh").returncode == 0


# --- what is kept ---------------------------------------------------------------------------------


def test_cache__warm_then_show__the_package_and_its_files(run: Command) -> None:
    done = run("cache", "warm", "pypi", "app")
    assert done.returncode == 0, done.stderr
    assert "2 packages in the cache" in done.stdout
    listed = run.json("cache", "show", "pypi", "--prefix", "ap")
    assert [each["name"] for each in listed["items"]] == ["app"]
    files = run("cache", "show", "pypi", "app")
    assert "app-1.0-py3-none-any.whl" in files.stdout
    assert run("cache", "show", "pypi", "never-seen").returncode == 1
    assert run("cache", "warm", "npm", "left@^1").returncode == 0
