"""What a published checksum decides: by the source's `checksums`, and against guesses at content."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import httpx
import pytest

from tests.support.maven_builders import Repository, build_jar
from tests.support.orchard import Cluster
from tests.support.upstream import Reply, Upstream

_numbers = itertools.count(1)
ALGORITHMS = ("sha1", "sha256", "sha512", "md5")
TOKEN = "an-operators-token"
POLICIES = ("fail", "warn", "ignore")
REPORT = b"<!DOCTYPE html>\n<html><body>" + b"<p>coverage</p>" * 40_000 + b"</body></html>"


@pytest.fixture(scope="module")
def orchard_settings(upstream: Upstream) -> dict[str, str]:
    """A source for each policy, in a folder of its name; the first has the default."""
    named = [f"{upstream.url}/{policy}/#checksums={policy}" for policy in POLICIES[1:]]
    return {
        "ORCHARD_MAVEN_UPSTREAM": ",".join([f"{upstream.url}/fail/", *named]),
        "ORCHARD_ADMIN_TOKEN": TOKEN,
        "ORCHARD_ANONYMOUS_READ": "true",
    }


@pytest.fixture
def artifact() -> str:
    """A new artifactId: tests share an Orchard, never a project."""
    return f"lib{next(_numbers)}"


def wrong(algorithm: str) -> bytes:
    return hashlib.new(algorithm, b"other").hexdigest().encode()


def events(orchard: Cluster, artifact: str, kind: str) -> list[dict[str, Any]]:
    query = {"project": f"org.demo:{artifact}", "kind": kind}
    answer = orchard.get("/api/v1/events", params=query, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def get(orchard: Cluster, path: str) -> httpx.Response | None:
    """None: broken off before its last byte."""
    try:
        return orchard.get(f"/maven/{path}")
    except httpx.RemoteProtocolError:
        return None


@pytest.mark.parametrize("ending", ["metadata", "whl", "egg"])
def test_file_named_as_another_protocol_names_its_own__is_any_file(
    orchard: Cluster, upstream: Upstream, artifact: str, ending: str
) -> None:
    path = f"org/demo/{artifact}/1.0/{artifact}-1.0.{ending}"
    upstream.put(f"/fail/{path}", b"any bytes")
    assert orchard.get(f"/maven/{path}").content == b"any bytes"


@pytest.mark.parametrize("size_bytes", [2_000, 600_000])
@pytest.mark.parametrize("told_in", ["sha1", "md5", "header"])
@pytest.mark.parametrize("policy", POLICIES)
def test_wrong_checksum__does_what_the_source_says(
    orchard: Cluster, upstream: Upstream, artifact: str, policy: str, told_in: str, size_bytes: int
) -> None:
    repository = Repository(upstream, f"/{policy}")
    jar = build_jar(artifact, size_bytes=size_bytes)
    path = repository.add("org.demo", artifact, "1.0", size_bytes=size_bytes, checksums=())
    if told_in == "header":
        headers = {"x-checksum-sha1": wrong("sha1").decode()}
        upstream.put(f"/{policy}/{path}", Reply(jar, headers=headers))
    else:
        upstream.put(f"/{policy}/{path}.{told_in}", wrong(told_in))
    answers = [get(orchard, path) for _ in range(2)]
    differs = events(orchard, artifact, "checksum_differs")
    if policy == "fail":
        assert not any(answer is not None and answer.status_code == 200 for answer in answers)
        assert events(orchard, artifact, "digest_mismatch") and not differs
        return
    assert [answer.content if answer is not None else b"" for answer in answers] == [jar, jar]
    assert answers[1] is not None and answers[1].headers["x-cache"] == "HIT"
    # What Orchard says of them is of these bytes.
    assert answers[1].headers["x-checksum-sha1"] == hashlib.sha1(jar).hexdigest()
    assert orchard.get(f"/maven/{path}.sha1").text == hashlib.sha1(jar).hexdigest()
    assert len(differs) == (policy == "warn")
    if differs:
        assert differs[0]["detail"]["published"] == wrong("md5" if told_in == "md5" else "sha1").decode()


def test_wrong_sha1_beside_right_others__refused_and_told_how_to_lift_it(
    orchard: Cluster, upstream: Upstream, artifact: str
) -> None:
    repository = Repository(upstream, "/fail")
    path = repository.add("org.demo", artifact, "1.0", checksums=ALGORITHMS)
    upstream.put(f"/fail/{path}.sha1", wrong("sha1"))
    answer = orchard.get(f"/maven/{path}")
    assert answer.status_code == 403 and answer.json()["code"] == "digest_mismatch"
    assert "orchard upstreams options maven/maven checksums=warn" in answer.json()["detail"]


def test_source_that_ignores_checksums__is_not_asked_for_any(
    orchard: Cluster, upstream: Upstream, artifact: str
) -> None:
    path = Repository(upstream, "/ignore").add("org.demo", artifact, "1.0")
    assert orchard.get(f"/maven/{path}").status_code == 200
    assert not any(upstream.count(f"/ignore/{path}.{algorithm}") for algorithm in ALGORITHMS)


# --- guesses at content -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("vouched", ["sha1", "md5", "header"])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("report.html", REPORT),
        ("notes.txt", REPORT),
        ("doc.xml", REPORT[:2000]),
        ("site.pom", REPORT[:2000]),
        ("tool.jar", b"\0own format" * 50),
        ("data.tar.gz", b"stored plain" * 60_000),
    ],
)
def test_guess_at_content__never_beats_a_checksum_that_matches(
    orchard: Cluster, upstream: Upstream, artifact: str, policy: str, vouched: str, name: str, body: bytes
) -> None:
    path = f"org/demo/{artifact}/1.0/{artifact}-1.0-{name}"
    algorithms = () if vouched == "header" else (vouched,)
    Repository(upstream, f"/{policy}").put(path, body, checksums=algorithms)
    if vouched == "header":
        digest = hashlib.sha1(body).hexdigest()
        upstream.put(f"/{policy}/{path}", Reply(body, headers={"x-checksum-sha1": digest}))
    answer = orchard.get(f"/maven/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.content == body


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("published", ["none", "wrong", "page"])
@pytest.mark.parametrize("ending", ["jar", "pom", "xml", "txt", "tar.gz"])
def test_login_page__without_a_checksum_that_matches__not_a_byte_goes_out(
    orchard: Cluster, upstream: Upstream, artifact: str, policy: str, published: str, ending: str
) -> None:
    path = f"org/demo/{artifact}/1.0/{artifact}-1.0.{ending}"
    upstream.put(f"/{policy}/{path}", Reply(REPORT, "text/html"))
    if published != "none":
        upstream.put(f"/{policy}/{path}.sha1", wrong("sha1") if published == "wrong" else REPORT)
    answer = orchard.get(f"/maven/{path}")
    assert answer.status_code == 403 and answer.json()["code"] == "upstream_invalid", answer.text


@pytest.mark.parametrize("ending", ["html", "htm", "xhtml"])
def test_file_named_as_a_web_page__is_one_without_any_checksum(
    orchard: Cluster, upstream: Upstream, artifact: str, ending: str
) -> None:
    path = f"org/demo/{artifact}/1.0/{artifact}-1.0-report.{ending}"
    upstream.put(f"/fail/{path}", Reply(REPORT, "text/html"))
    assert orchard.get(f"/maven/{path}").content == REPORT
