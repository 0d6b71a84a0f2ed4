"""The operator's commands against an Orchard that is closed to the anonymous."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.errors import Exit
from tests.services.cli.conftest import Command
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.proxy import needs_nginx, nginx
from tests.support.upstream import Upstream

ADMIN = "an-operators-token"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        for name in ("app", "evil"):
            files = {f"{name}-{each}-py3-none-any.whl": build_wheel(name, each) for each in ("1.0", "2.0")}
            server.add_project(name, files)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_ANONYMOUS_READ": "false"}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


@pytest.fixture
def anonymous(orchard: Cluster, tmp_path: Path) -> Command:
    return Command(tmp_path, ORCHARD_URL=orchard.url(""))


@pytest.fixture
def operator(orchard: Cluster, tmp_path: Path) -> Command:
    return Command(tmp_path, ORCHARD_URL=orchard.url(""), ORCHARD_ADMIN_TOKEN=ADMIN)


def test_token__created_read_with_then_revoked(operator: Command, anonymous: Command) -> None:
    refused = anonymous("cache", "show", "pypi")
    assert refused.returncode == 4
    assert "Set ORCHARD_TOKEN to a read token" in refused.stderr

    made = operator("tokens", "create", "ci")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    again = operator("tokens", "create", "ci")
    assert (again.returncode, "there is a token 'ci' already\n" in again.stderr) == (1, True)
    assert re.fullmatch(r"\S{20,}", token)
    assert token not in made.stderr
    listed = operator("tokens", "list")
    assert "ci" in listed.stdout and token not in listed.stdout

    assert anonymous("cache", "show", "pypi", ORCHARD_TOKEN=token).returncode == 0
    short = anonymous("tokens", "list", ORCHARD_TOKEN=token)
    assert short.returncode == 4
    assert "not sufficient" in short.stderr and "ORCHARD_ADMIN_TOKEN" in short.stderr
    assert operator("tokens", "revoke", "ci").returncode == 0
    wait_until(
        lambda: anonymous("cache", "show", "pypi", ORCHARD_TOKEN=token).returncode == 4, what="the end of it"
    )
    assert operator("tokens", "revoke", "ci").returncode == 1


def test_status__without_a_token__health_alone(anonymous: Command, operator: Command) -> None:
    assert "upstreams" in operator.json("status")
    shown = anonymous.json("status")
    assert shown["health"]["status"] == "ok" and "upstreams" not in shown


@needs_nginx
def test_status__through_a_proxy_that_shuts_health__for_operators_alone(
    orchard: Cluster, anonymous: Command, operator: Command, tmp_path: Path
) -> None:
    with nginx(tmp_path / "nginx", [orchard.gateway.port] * 2) as base:
        assert operator.json("status", ORCHARD_URL=base)["health"]["status"] == "ok"
        refused = anonymous("status", ORCHARD_URL=base)
    assert "ORCHARD_ADMIN_TOKEN" in refused.stderr and "keeps it inside" in refused.stderr
    assert refused.returncode == Exit.UNSUPPORTED


def test_token__json__the_whole_answer(operator: Command) -> None:
    made = operator.json("tokens", "create", "robot", "--scope", "admin")
    assert (made["name"], made["scope"]) == ("robot", "admin")
    assert operator.json("tokens", "list", ORCHARD_ADMIN_TOKEN=made["token"])["items"]


def test_upstreams__add_test_pause_resume_priority_credentials_remove(
    operator: Command, upstream: Upstream
) -> None:
    address = f"{upstream.url}/simple/"
    made = operator.json(
        "upstreams", "add", "pypi", "second", address, "--priority", "7", "--pattern", "corp-*",
        "--username", "me", "--password-from", "SECRET", SECRET="hunter2",
    )  # fmt: skip
    assert (made["priority"], made["patterns"], made["has_credentials"]) == (7, ["corp-*"], True)
    listed = operator("upstreams", "list", "pypi")
    assert re.search(r"^pypi +7 +second +in use +corp-\* +yes +operator +http", listed.stdout, re.MULTILINE)
    assert "hunter2" not in listed.stdout

    tested = operator("upstreams", "test", "second", "--project", "app")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "pypi/second answers in" in tested.stdout
    failed = operator("upstreams", "test", "second", "--project", "no-such-thing")
    assert failed.returncode == 1

    assert operator("upstreams", "pause", "pypi/second").returncode == 0
    assert operator("upstreams", "priority", str(made["id"]), "9").returncode == 0
    assert operator("upstreams", "credentials", "second", "--none").returncode == 0
    shown = next(each for each in operator.json("upstreams", "list")["items"] if each["name"] == "second")
    assert (shown["enabled"], shown["priority"], shown["has_credentials"]) == (False, 9, False)
    assert operator("upstreams", "resume", "second").returncode == 0
    assert "second" in operator("status").stdout
    assert operator("upstreams", "remove", "second").returncode == 0
    gone = operator("upstreams", "pause", "secnd")
    assert gone.returncode == 1


def test_upstreams_options__replaced_together_and_shown(operator: Command, upstream: Upstream) -> None:
    made = operator.json("upstreams", "add", "maven", "store", f"{upstream.url}/maven/")
    assert made["options"] == {}
    changed = operator.json("upstreams", "options", "store", "absent=403,401", "merge=corp", "checksums=warn")
    assert changed["options"] == {"absent_statuses": [401, 403], "checksums": "warn", "merge": "corp"}
    assert operator.json("upstreams", "options", "store", "pages=elsewhere")["options"] == {
        "pages_elsewhere": True
    }
    for wrong in (
        "absent=429",
        "absent=500",
        "absent=x",
        "checksums=maybe",
        "merge=a b",
        "no-such=1",
        "pages",
    ):
        assert operator("upstreams", "options", "store", wrong).returncode != 0, wrong
    shown = operator("upstreams", "options", "store")  # asking changes nothing
    assert (shown.returncode, shown.stdout) == (0, "maven/store is read with pages=elsewhere\n")
    assert operator("upstreams", "options", "store", "--none", "merge=corp").returncode == 2
    assert operator.json("upstreams", "options", "store", "--none")["options"] == {}
    assert "is read with the defaults" in operator("upstreams", "options", "store").stdout


def test_upstreams__misspelt_name__did_you_mean(operator: Command) -> None:
    name = operator.json("upstreams", "list", "pypi")["items"][0]["name"]
    done = operator("upstreams", "test", name + "x")
    assert done.returncode == 1
    assert f"Did you mean pypi/{name}" in done.stderr or f"Did you mean {name}" in done.stderr


def test_upstreams__password_by_standard_input(operator: Command, upstream: Upstream) -> None:
    words = ["upstreams", "add", "npm", "piped", f"{upstream.url}/npm/", "--token-from", "-", "--json"]
    done = operator(*words, given="hunter2\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["has_credentials"] is True
    assert "hunter2" not in done.stdout + done.stderr


def test_upstreams__refused_by_the_server__its_words(operator: Command) -> None:
    done = operator("upstreams", "add", "pypi", "bad", "http://x/?q=1")
    assert done.returncode in (1, 2)
    assert "url" in done.stderr


def test_blocks__package_version_and_file__listed_with_reasons_and_lifted(operator: Command) -> None:
    made = operator.json("blocks", "add", "pypi", "evil", "1.0", "--reason", "steals tokens")
    listed = operator("blocks", "list")
    assert "pypi evil 1" in listed.stdout and "steals tokens" in listed.stdout
    by_purl = operator.json("blocks", "add", "pkg:npm/%40bad/one@1.2.3", "--reason", "as others name it")
    assert (by_purl["protocol"], by_purl["name"], by_purl["version"]) == ("npm", "@bad/one", "1.2.3")
    wrong = operator("blocks", "add", "left-pad", "--reason", "x")
    assert wrong.returncode == 2 and "did you mean pkg:" in wrong.stderr
    assert operator("blocks", "add", "cd" * 32, "--reason", "bare").returncode == 0
    assert f"sha256 {'cd' * 32}" in operator("blocks", "list").stdout
    digest = "ab" * 32
    assert operator("blocks", "add", "--sha256", digest.upper(), "--reason", "bad bytes").returncode == 0
    assert digest in operator("blocks", "list").stdout

    assert operator("blocks", "remove", str(made["id"])).returncode == 0
    assert "evil" not in operator("blocks", "list").stdout
    assert operator("blocks", "remove", "999999").returncode == 1
    by_name = operator("blocks", "remove", "evil")
    assert (by_name.returncode, "orchard blocks list" in by_name.stderr) == (2, True)


def test_pins_and_pages__set_and_forgotten__are_said_and_listed_so(operator: Command) -> None:
    assert operator("cache", "warm", "pypi", "app").returncode == 0
    assert re.search(r"^pypi +app +\S+", operator("pins", "list", "pypi").stdout, re.MULTILINE)
    done = operator("cache", "invalidate", "pypi", "app")
    assert done.returncode == 0, done.stderr
    assert "app is asked for again" in done.stdout
    assert operator.json("cache", "invalidate", "npm", "--all")["invalidated"] == 0  # it was not asked
    nothing = operator("cache", "invalidate", "pypi", "never-asked-for")
    assert (nothing.returncode, nothing.stdout) == (0, "pypi: no page of never-asked-for is kept\n")
    assert operator("pins", "remove", "pypi", "app").returncode == 0
    for protocol, project in (("npm", "@corp/app"), ("maven", "com.corp:lib"), ("maven", "com.corp:*")):
        moved = operator("pins", "set", protocol, project, protocol)
        assert moved.returncode == 0, moved.stderr
        assert f"{project} is looked for in {protocol} and nowhere else" in moved.stdout
        assert project in operator("pins", "list", protocol).stdout
        unknown = operator("pins", "set", protocol, project, "nobody")
        assert (unknown.returncode, "nobody" in unknown.stderr) == (1, True)
    for protocol, project in (
        ("maven", "com.corp.*"),
        ("maven", "junit"),
        ("npm", "corp:*"),
        ("pypi", "corp-*"),
    ):
        refused = operator("pins", "set", protocol, project, protocol)
        assert (refused.returncode, "package can have" in refused.stderr) == (2, True), project
    assert "com.corp:lib" not in operator("pins", "list", "maven").stdout  # its group's pin took its place
    assert operator("pins", "remove", "npm", "@corp/app").returncode == 0
    assert operator("pins", "remove", "maven", "com.corp:*").returncode == 0
    assert "no pins" in operator("pins", "list", "maven").stdout
    gone = operator("pins", "remove", "npm", "@corp/app")
    assert (gone.returncode, "@corp/app is not pinned" in gone.stderr) == (1, True)


def test_audit__newest_first_with_who_and_what(operator: Command) -> None:
    operator("blocks", "add", "npm", "left-pad", "--reason", "for the audit")
    done = operator("audit", "--limit", "1")
    assert done.returncode == 0, done.stderr
    assert "left-pad" in done.stdout
    assert "--limit shows more" in done.stderr
    assert len(operator.json("audit", "--limit", "2")["items"]) == 2


def test_disk__asked__what_is_free_is_said_before_anything_was_counted(operator: Command) -> None:
    told = operator("disk")
    assert told.returncode == 0, told.stderr
    assert "free" in told.stdout and "was not counted yet" in told.stdout
    report = operator.json("disk")
    (disk,) = report["disks"]
    assert disk["service"] == "fetcher" and disk["free_bytes"] <= disk["total_bytes"]


def test_disk__without_the_operators_token__refused(anonymous: Command) -> None:
    assert anonymous("disk").returncode == 4
