"""What keeps an Orchard from working is found, told with its cure, and is the exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.standalone.doctor.findings import Finding, in_words
from services.standalone.doctor.machine import disk_findings, files_finding
from services.standalone.doctor.upstreams import clock_finding
from services.standalone.servers import free_port
from shared.http.trust import trusted_by
from shared.settings import load_settings
from tests.support.certificates import authority
from tests.support.small_disk import fill, small_disk
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


def doctor(folder: Path, upstream: Upstream, **settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and the findings by check."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ORCHARD_") and not name.lower().endswith("_proxy")
    }
    environment |= {"ORCHARD_DATA_DIR": str(folder), "ORCHARD_PORT": str(free_port())}
    for protocol in ("PYPI", "NPM", "MAVEN", "CARGO"):
        environment[f"ORCHARD_{protocol}_UPSTREAM"] = f"{upstream.url}/"
    environment |= settings
    command = [sys.executable, "-m", "services.standalone.doctor", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)
    told = json.loads(done.stdout)
    assert told["ok"] is (done.returncode == 0), done.stderr
    return done.returncode, {each["check"]: each for each in told["findings"]}


def test_all_well_but_nothing_runs__exit_0_and_the_command_that_starts_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    code, found = doctor(tmp_path, upstream)
    assert code == 0
    assert found["upstream pypi"]["state"] == found["certificates"]["state"] == "ok"
    assert found["Orchard"]["state"] == "warning" and "orchard up" in found["Orchard"]["cure"]


def test_upstream__certificate_of_an_unknown_authority__failed_and_cured_by_the_variable_that_is_named(
    tmp_path: Path, upstream: Upstream
) -> None:
    ca, context = authority(tmp_path / "tls")
    guarded = Upstream()
    guarded.tls = context
    with guarded:
        url = f"{guarded.url.replace('http:', 'https:')}/simple/"
        code, found = doctor(tmp_path, upstream, ORCHARD_PYPI_UPSTREAM=url)
        assert code == 1 and found["upstream pypi"]["state"] == "failed"
        assert "certificate is not trusted" in found["upstream pypi"]["detail"]
        assert "ORCHARD_CA_FILE" in found["upstream pypi"]["cure"]
        code, found = doctor(tmp_path, upstream, ORCHARD_PYPI_UPSTREAM=url, ORCHARD_CA_FILE=str(ca))
        assert code == 0 and found["upstream pypi"]["state"] == "ok"
        assert f"ORCHARD_CA_FILE ({ca})" in found["certificates"]["detail"]


@pytest.mark.parametrize(
    ("fault", "state", "words"),
    [
        (Fault(status=401), "failed", "credentials"),
        (Fault(status=503), "warning", "wait"),
        (Fault(status=404), "ok", ""),
        (Fault(headers={"date": "Mon, 01 Jan 2001 00:00:00 GMT"}), "ok", ""),
    ],
)
def test_upstream__answers__told_with_its_cure(
    tmp_path: Path, upstream: Upstream, fault: Fault, state: str, words: str
) -> None:
    upstream.fault("/pypi/", fault)
    try:
        _, found = doctor(tmp_path, upstream, ORCHARD_PYPI_UPSTREAM=f"{upstream.url}/pypi/")
    finally:
        upstream.heal()
    assert found["upstream pypi"]["state"] == state
    assert words in found["upstream pypi"].get("cure", "")


def test_upstream__no_such_name_or_nobody_listens__failed(tmp_path: Path, upstream: Upstream) -> None:
    code, found = doctor(
        tmp_path,
        upstream,
        ORCHARD_PYPI_UPSTREAM="http://index.invalid/simple/",
        ORCHARD_NPM_UPSTREAM=f"http://user:secret@127.0.0.1:{free_port()}/",
    )
    assert code == 1
    assert "index.invalid is not resolved" in found["upstream pypi"]["detail"]
    assert "nobody listens" in found["upstream npm"]["detail"]
    assert "secret" not in json.dumps(found)


def test_upstream__sends_us_elsewhere__its_credentials_do_not_go_there(
    tmp_path: Path, upstream: Upstream
) -> None:
    with Upstream() as other:
        upstream.fault("/moved/", Fault(status=302, headers={"location": f"{other.url}/taken/"}))
        url = f"{upstream.url.replace('//', '//user:secret@')}/moved/"
        doctor(tmp_path, upstream, ORCHARD_PYPI_UPSTREAM=url)
        (asked,) = other.seen("/taken/")
        assert "authorization" not in asked.headers
        (first,) = upstream.seen("/moved/")
        assert first.headers["authorization"].startswith("Basic ")


def test_settings__misspelt__failed_with_the_nearest(tmp_path: Path, upstream: Upstream) -> None:
    code, found = doctor(tmp_path, upstream, ORCHARD_PROT="1")
    assert code == 1 and "did you mean ORCHARD_PORT" in found["settings"]["detail"]


def test_stores__named_and_away__failed_with_the_variable(tmp_path: Path, upstream: Upstream) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        code, found = doctor(
            tmp_path,
            upstream,
            ORCHARD_DATABASE_URL=f"postgresql://nobody@127.0.0.1:{port}/x",
            ORCHARD_QUEUE_REDIS_HOST="127.0.0.1",
            ORCHARD_QUEUE_REDIS_PORT=str(port),
        )
    assert code == 1
    assert "ORCHARD_DATABASE_URL" in found["PostgreSQL"]["cure"]
    assert "ORCHARD_QUEUE_REDIS_HOST" in found["Redis, queue"]["cure"]


def test_disk__at_its_floor__failed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40) as folder:
        settings = load_settings({"ORCHARD_DATA_DIR": str(folder / "data")})
        assert [each.state for each in disk_findings(settings)] == ["ok"]
        fill(folder, leave_bytes=1024 * 1024)
        (found,) = disk_findings(settings)
        assert found.state == "failed" and "ORCHARD_EVICT_BYTES" in found.cure


@pytest.mark.parametrize(("limit", "state"), [(100, "failed"), (1024, "warning"), (65536, "ok"), (-1, "ok")])
def test_open_files__as_a_gateway_needs_them(limit: int, state: str) -> None:
    found = files_finding(limit)
    assert found.state == state and bool(found.cure) is (state != "ok")


@pytest.mark.parametrize(
    ("skew", "state"), [(5.0, "ok"), (-90.0, "warning"), (90.0, "warning"), (-3600.0, "failed")]
)
def test_clock__against_upstreams(skew: float, state: str) -> None:
    found = clock_finding(skew)
    assert (found.state == state and (skew > 0) is ("ahead" in found.detail)) or state == "ok"


def test_trusted__what_counts_is_named() -> None:
    assert trusted_by("/ca.pem", {"SSL_CERT_FILE": "/x"}) == "ORCHARD_CA_FILE (/ca.pem) alone"
    environ = {"SSL_CERT_FILE": "/f", "SSL_CERT_DIR": "/d", "CURL_CA_BUNDLE": "/c", "PIP_CERT": "/p"}
    assert (
        trusted_by("", environ, clients=("PIP_CERT",))
        == "SSL_CERT_FILE (/f), SSL_CERT_DIR (/d), PIP_CERT (/p)"
    )
    assert trusted_by("", {}) == "the system's store and certifi's list"


def test_words__the_cure_is_below() -> None:
    text = in_words([Finding("disk", "ok", "room"), Finding("clock", "failed", "behind", "set it")])
    assert text.splitlines() == ["ok     disk   room", "FAILED clock  behind", "              -> set it"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ORCHARD_HOST": "0.0.0.0"}, "ORCHARD_ANONYMOUS_READ"),
        ({"ORCHARD_HOST": "0.0.0.0", "ORCHARD_ADMIN_TOKEN": "short"}, "ORCHARD_ADMIN_TOKEN"),
        ({"ORCHARD_SECRET_KEY": "no key"}, "ORCHARD_SECRET_KEY"),
        ({"ORCHARD_CA_FILE": "/nowhere.pem"}, "/nowhere.pem"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "/nowhere.pem"),
        ({"SSL_CERT_DIR": "/nowhere"}, "/nowhere"),
    ],
    ids=lambda each: "" if isinstance(each, str) else " ".join(each),
)
def test_what_a_start_refuses__is_a_failed_finding__and_the_other_checks_are_made(
    tmp_path: Path, upstream: Upstream, settings: dict[str, str], told: str
) -> None:
    code, found = doctor(tmp_path, upstream, **settings)
    failed = [each for each in found.values() if each["state"] == "failed"]
    assert code == 1 and any(told in each["detail"] for each in failed), found
    assert "Orchard" in found
