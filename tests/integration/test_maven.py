"""Maven through every service: files by address, checksums, metadata of several repositories, snapshots."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from shared.http.via import ERROR_HEADER, name_of, told
from tests.support.maven_builders import Dep, Repository, build_jar, build_pom
from tests.support.orchard import Cluster, Service, wait_until
from tests.support.upstream import Fault, Reply, Upstream

_numbers = itertools.count(1)
ALGORITHMS = ("md5", "sha1", "sha256", "sha512")


@pytest.fixture(scope="module")
def orchard_settings(upstream: Upstream) -> dict[str, str]:
    both = f"{upstream.url}/maven/#merge=demo,{upstream.url}/second/#merge=demo"
    return {"ORCHARD_MAVEN_UPSTREAM": both, "ORCHARD_CACHE_TTL_INDEX": "2", "ORCHARD_CACHE_TTL_NEGATIVE": "2"}


@pytest.fixture
def first(upstream: Upstream) -> Repository:
    return Repository(upstream)


@pytest.fixture
def second(upstream: Upstream) -> Repository:
    return Repository(upstream, "/second")


@pytest.fixture
def artifact() -> str:
    """A new artifactId: tests share an Orchard, never a project."""
    return f"lib{next(_numbers)}"


def hexdigest(algorithm: str, body: bytes) -> str:
    return hashlib.new(algorithm, body).hexdigest()


def versions_of(body: bytes) -> list[str]:
    return [str(each.text) for each in ElementTree.fromstring(body).iter("version")]


# --- files ------------------------------------------------------------------------------------------


def test_file__miss_then_hit__same_bytes_one_upstream_get(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str
) -> None:
    path = first.add("org.demo", artifact, "1.0", size_bytes=400_000)
    cold, warm = orchard.get(f"/maven/{path}"), orchard.get(f"/maven/{path}")
    assert cold.status_code == warm.status_code == 200
    assert cold.content == warm.content == build_jar(artifact, size_bytes=400_000)
    assert cold.headers["x-cache"] in ("LIVE", "MISS") and warm.headers["x-cache"] == "HIT"
    assert upstream.count(f"/maven/{path}") == 1


def test_file__no_cache_from_maven__still_a_hit(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str
) -> None:
    path = first.add("org.demo", artifact, "1.0")
    headers = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
    orchard.get(f"/maven/{path}")
    assert orchard.get(f"/maven/{path}", headers=headers).headers["x-cache"] == "HIT"


def test_checksums_and_headers__equal_the_body__without_asking_upstream_for_more(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str
) -> None:
    path = first.add("org.demo", artifact, "1.0")
    orchard.get(f"/maven/{path}")
    answer = orchard.get(f"/maven/{path}")
    asked = len(upstream.requests)
    for algorithm in ALGORITHMS:
        sidecar = orchard.get(f"/maven/{path}.{algorithm}")
        assert sidecar.status_code == 200
        assert sidecar.text == hexdigest(algorithm, answer.content)
        assert answer.headers[f"x-checksum-{algorithm}"] == sidecar.text
    assert len(upstream.requests) == asked


def test_checksum_asked_before_its_file__fetches_the_file(
    orchard: Cluster, first: Repository, artifact: str
) -> None:
    path = first.add("org.demo", artifact, "1.0")
    body = build_jar(artifact, size_bytes=2000)
    assert orchard.get(f"/maven/{path}.sha256").text == hexdigest("sha256", body)


def test_checksum_and_signature_of_missing_file__404(orchard: Cluster, artifact: str) -> None:
    stem = f"/maven/org/demo/{artifact}/1.0/{artifact}-1.0.jar"
    for ending in ("", ".sha1", ".md5", ".asc", ".asc.sha1", ".sha1.sha1"):
        assert orchard.get(stem + ending).status_code == 404, ending


@pytest.mark.parametrize("kind", ["sources.jar", "module", "jar.asc", "tests.jar", "aar", "pom"])
def test_other_files_of_a_version__ordinary_artifacts(
    orchard: Cluster, first: Repository, artifact: str, kind: str
) -> None:
    joint = "-" if kind in ("sources.jar", "tests.jar") else "."
    body = build_jar(kind) if kind.endswith("jar") else kind.encode() * 40
    path = first.put(f"org/demo/{artifact}/1.0/{artifact}-1.0{joint}{kind}", body)
    assert orchard.get(f"/maven/{path}").content == body


def test_head_and_range__as_for_every_file(orchard: Cluster, first: Repository, artifact: str) -> None:
    path = first.add("org.demo", artifact, "1.0", size_bytes=20_000)
    body = build_jar(artifact, size_bytes=20_000)
    head = httpx.head(orchard.url(f"/maven/{path}"), trust_env=False, timeout=20)
    assert head.status_code == 200 and head.headers["content-length"] == str(len(body))
    part = orchard.get(f"/maven/{path}", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == body[10:20]


@pytest.mark.parametrize(
    "place",
    [
        "{}_2.12_1.0/1.2.0/{}-1.2.0.pom",  # sbt before 1.9
        "{}_2.12_1.0/1.2.0/{}-1.2.0.jar",
        "{}/1.0/ivy-1.0.xml",
        "{}/1.0/other-lib-1.0.klib",  # a `url` of a Gradle module
        "{}/-7d2306cde8-1/{}--7d2306cde8-1.pom",  # built from a branch
        "{}/v1.0/{}-v1.0.jar",
    ],
)
def test_file_of_another_name_or_strange_version__an_ordinary_artifact(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str, place: str
) -> None:
    body = build_jar(place) if place.endswith("jar") else build_pom("org.demo", artifact, "1.0")
    path = first.put(f"org/demo/{place.format(artifact, artifact)}", body)
    for checksum in ("", ".asc"):
        assert orchard.get(f"/maven/{path.replace('org/demo', 'org/none')}{checksum}").status_code == 404
    assert orchard.get(f"/maven/{path}").content == body
    assert orchard.get(f"/maven/{path}").headers["x-cache"] == "HIT"
    assert orchard.get(f"/maven/{path}.sha1").text == hexdigest("sha1", body)
    assert upstream.count(f"/maven/{path}") == 1
    wrong = first.put(path.replace("/demo/", "/wrong/"), body, checksums=())
    first.upstream.put(f"/maven/{wrong}.sha1", b"0" * 40)
    assert _broken_off(orchard, f"/maven/{wrong}")


# --- absence ----------------------------------------------------------------------------------------


def test_absent_file__404_remembered_then_found_when_it_appears(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str
) -> None:
    path = f"org/demo/{artifact}/1.0/{artifact}-1.0.jar"
    answers = [orchard.get(f"/maven/{path}") for _ in range(3)]
    assert [each.status_code for each in answers] == [404, 404, 404]
    assert answers[1].headers["x-cache"] == "NEGATIVE"
    assert upstream.count(f"/maven/{path}") == upstream.count(f"/second/{path}") == 1
    first.add("org.demo", artifact, "1.0")
    wait_until(lambda: orchard.get(f"/maven/{path}").status_code == 200, what="the published file")


def test_absent_at_the_first__from_the_second(
    orchard: Cluster, upstream: Upstream, second: Repository, artifact: str
) -> None:
    path = second.add("org.demo", artifact, "1.0")
    assert orchard.get(f"/maven/{path}").content == build_jar(artifact, size_bytes=2000)


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(status=403), Fault(status=429), Fault(status=500)]
)
@pytest.mark.parametrize("broken", ["/maven", "/second"])
def test_trouble_at_one_source__never_404(
    orchard: Cluster, upstream: Upstream, artifact: str, fault: Fault, broken: str
) -> None:
    path = f"org/demo/{artifact}/1.0/{artifact}-1.0.pom"
    upstream.fault(f"{broken}/{path}", fault)
    answer = orchard.get(f"/maven/{path}")
    assert answer.status_code == (403 if fault.status == 403 else 503)
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    upstream.heal()
    _forget_breakers(orchard)


def test_file_that_one_of_a_merge_group_lacks__from_the_other(
    orchard: Cluster, upstream: Upstream, first: Repository, second: Repository, artifact: str
) -> None:
    stem = f"org/demo/{artifact}/1.0/{artifact}-1.0"
    first.put(f"{stem}.pom", build_pom("org.demo", artifact, "1.0"))
    jar = build_jar("the jar that only the second repository has")
    second.put(f"{stem}.jar", jar)
    assert orchard.get(f"/maven/{stem}.pom").status_code == 200
    assert orchard.get(f"/maven/{stem}.jar").content == jar


BLOCKED = Fault(
    status=403,
    headers={"via": told(name_of("a" * 32)), ERROR_HEADER: "blocked"},
    body=b'{"detail": "it is blocked: bad"}',
    content_type="application/problem+json",
)


def test_what_one_of_a_merge_group_has_blocked__the_others_of_it_are_served(
    orchard: Cluster, upstream: Upstream, first: Repository, second: Repository, artifact: str
) -> None:
    """By an upstream that is an Orchard: its page, its files, the pointer of its snapshot."""
    first.add("org.demo", artifact, "1.0")
    ours = second.add("org.demo", artifact, "2.0")
    for repository, version in ((first, "1.0"), (second, "2.0")):
        repository.add_metadata("org.demo", artifact, [version])
    page = f"org/demo/{artifact}/maven-metadata.xml"
    for path in (page, ours, f"org/demo/{artifact}/1.0/{artifact}-1.0.jar"):
        upstream.fault(f"/maven/{path}", BLOCKED)
    answer = orchard.get(f"/maven/{page}")
    assert (answer.status_code, versions_of(answer.content)) == (200, ["2.0"])
    assert orchard.get(f"/maven/{ours}").status_code == 200
    assert orchard.get(f"/maven/org/demo/{artifact}/1.0/{artifact}-1.0.jar").status_code == 403
    alone = f"org/demo/{artifact}-alone/maven-metadata.xml"
    upstream.fault(f"/maven/{alone}", BLOCKED)
    assert orchard.get(f"/maven/{alone}").status_code == 403
    upstream.heal()


# --- integrity --------------------------------------------------------------------------------------


def _broken_off(orchard: Cluster, path: str) -> bool:
    try:
        return orchard.get(path).status_code in (403, 503)
    except httpx.HTTPError:
        return True


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_wrong_checksum_upstream__nothing_kept(
    orchard: Cluster, first: Repository, artifact: str, algorithm: str
) -> None:
    path = first.add("org.demo", artifact, "1.0", checksums=())
    first.upstream.put(f"/maven/{path}.{algorithm}", hexdigest(algorithm, b"other").encode())
    assert _broken_off(orchard, f"/maven/{path}")
    first.put(path, build_jar(artifact, size_bytes=2000), checksums=(algorithm,))
    assert orchard.get(f"/maven/{path}").status_code == 200


def test_cut_once__client_gets_all_bytes(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str
) -> None:
    path = first.add("org.demo", artifact, "1.0", size_bytes=600_000)
    upstream.fault(f"/maven/{path}", Fault(cut_at=200_000, reset=True), times=1)
    assert orchard.get(f"/maven/{path}").content == build_jar(artifact, size_bytes=600_000)
    assert upstream.count(f"/maven/{path}") == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut_at=200_000),
        Fault(cut_at=200_000, no_length=True),
        Fault(cut_at=200_000, chunked=True),
        Fault(flip_at=300_000),
    ],
    ids=["cut", "cut-without-length", "cut-in-chunks", "spoilt"],
)
def test_cut_or_spoilt_at_every_try__all_bytes_or_none_kept_and_the_next_succeeds(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str, fault: Fault
) -> None:
    path = first.add("org.demo", artifact, "1.0", size_bytes=600_000)
    jar = build_jar(artifact, size_bytes=600_000)
    upstream.fault(f"/maven/{path}", fault)
    with contextlib.suppress(httpx.RemoteProtocolError):  # broken off before its last byte
        answer = orchard.get(f"/maven/{path}")
        assert answer.status_code in (403, 503) or answer.content == jar
    upstream.heal()
    _forget_breakers(orchard)
    wait_until(lambda: not _broken_off(orchard, f"/maven/{path}"), what="the healed file")
    assert orchard.get(f"/maven/{path}").content == jar


def test_digests_in_headers__no_checksum_file_is_asked_for(
    orchard: Cluster, upstream: Upstream, second: Repository, artifact: str
) -> None:
    def put(number: int, etag: str = "auto", **headers: str) -> str:
        body = build_jar(f"{artifact}-{number}")
        path = f"org/demo/{artifact}/{number}/{artifact}-{number}.jar"
        upstream.put(f"/second/{path}", Reply(body, headers=headers, etag=etag))
        return path

    def sha1(number: int) -> str:
        return hexdigest("sha1", build_jar(f"{artifact}-{number}"))

    paths = [
        put(1, **{"x-checksum-sha1": sha1(1)}),
        put(2, **{"x-checksum-sha1": sha1(2)}),
        put(3, etag=f'"{{SHA1{{{sha1(3)}}}}}"'),
        put(4),
        put(5, **{"x-checksum-md5": "0" * 32}),
    ]
    for path in paths[:4]:
        assert orchard.get(f"/maven/{path}").status_code == 200
    assert _broken_off(orchard, f"/maven/{paths[4]}")
    # The first file shows that this source tells; the fourth, that it does not always.
    asked = [upstream.count(f"/second/{path}.sha1") for path in paths]
    assert asked[1:4] == [0, 0, 1]


@pytest.mark.parametrize("text", ["{}  some-name.jar\n", "SHA1({}) = {}", "{}\r\n"])
def test_checksum_with_a_name_beside_it__accepted(
    orchard: Cluster, first: Repository, artifact: str, text: str
) -> None:
    path = first.add("org.demo", artifact, "1.0", checksums=())
    digest = hexdigest("sha1", build_jar(artifact, size_bytes=2000))
    first.upstream.put(f"/maven/{path}.sha1", text.replace("{}", digest).encode())
    assert orchard.get(f"/maven/{path}").status_code == 200


def test_no_or_html_checksum__accepted(orchard: Cluster, first: Repository, artifact: str) -> None:
    path = first.add("org.demo", artifact, "1.0", checksums=())
    assert orchard.get(f"/maven/{path}").status_code == 200
    pom = path.replace(".jar", ".pom")
    first.upstream.put(f"/maven/{pom}.sha1", b"<html>" + b"a" * 40 + b"</html>", "text/html")
    assert orchard.get(f"/maven/{pom}").status_code == 200


@pytest.mark.parametrize("ending", ["jar", "pom", "module"])
def test_login_page_instead_of_a_file__never_served(
    orchard: Cluster, first: Repository, artifact: str, ending: str
) -> None:
    path = f"org/demo/{artifact}/1.0/{artifact}-1.0.{ending}"
    page = b"<!DOCTYPE html><html>log in</html>"
    first.upstream.put(f"/maven/{path}", Reply(page, "text/html"))
    assert _broken_off(orchard, f"/maven/{path}")


# --- metadata ---------------------------------------------------------------------------------------


def test_metadata__one_source_has_it__byte_for_byte(
    orchard: Cluster, first: Repository, artifact: str
) -> None:
    path = first.add_metadata("org.demo", artifact, ["1.0", "1.1"])
    answer = orchard.get(f"/maven/{path}")
    assert answer.content == orchard.upstream._replies[f"/maven/{path}"].body
    for algorithm in ALGORITHMS:
        assert orchard.get(f"/maven/{path}.{algorithm}").text == hexdigest(algorithm, answer.content)


def test_metadata__of_two_sources__union_in_maven_order(
    orchard: Cluster, first: Repository, second: Repository, artifact: str
) -> None:
    path = first.add_metadata("org.demo", artifact, ["1.0", "1.10"], updated="20240101000000")
    second.add_metadata("org.demo", artifact, ["1.9", "2.0-SNAPSHOT"], updated="20230101000000")
    answer = orchard.get(f"/maven/{path}")
    assert versions_of(answer.content) == ["1.0", "1.9", "1.10", "2.0-SNAPSHOT"]
    root = ElementTree.fromstring(answer.content)
    assert root.findtext("versioning/latest") == "2.0-SNAPSHOT"
    assert root.findtext("versioning/lastUpdated") == "20240101000000"
    assert orchard.get(f"/maven/{path}.sha1").text == hexdigest("sha1", answer.content)


def test_metadata__one_of_two_dead__what_it_said_last_and_marked(
    orchard: Cluster, upstream: Upstream, first: Repository, second: Repository, artifact: str
) -> None:
    path = first.add_metadata("org.demo", artifact, ["1.0"])
    second.add_metadata("org.demo", artifact, ["2.0"])
    assert versions_of(orchard.get(f"/maven/{path}").content) == ["1.0", "2.0"]
    first.add_metadata("org.demo", artifact, ["1.0", "1.5"])
    upstream.fault(f"/second/{path}", Fault(status=503))

    def merged() -> bool:
        answer = orchard.get(f"/maven/{path}")
        assert answer.status_code == 200
        assert "2.0" in versions_of(answer.content)
        return "1.5" in versions_of(answer.content) and answer.headers["x-cache"] == "STALE"

    wait_until(merged, what="the new version beside the dead source's last one")
    upstream.heal()
    _forget_breakers(orchard)


def test_metadata__one_source_truly_lost_it__a_later_outage_does_not_bring_it_back(
    orchard: Cluster, upstream: Upstream, first: Repository, second: Repository, artifact: str
) -> None:
    def becomes(*versions: str) -> None:
        wait_until(
            lambda: versions_of(orchard.get(f"/maven/{path}").content) == list(versions),
            seconds=30,
            what=f"metadata of {versions}",
        )

    path = first.add_metadata("org.demo", artifact, ["1.0"])
    second.add_metadata("org.demo", artifact, ["2.0"])
    becomes("1.0", "2.0")
    upstream.remove(f"/second/{path}")
    becomes("1.0")
    upstream.fault(f"/second/{path}", Fault(status=503))
    first.add_metadata("org.demo", artifact, ["1.0", "1.5"])
    becomes("1.0", "1.5")
    upstream.heal()
    _forget_breakers(orchard)
    second.add_metadata("org.demo", artifact, ["2.0"])
    becomes("1.0", "1.5", "2.0")


def test_metadata__never_seen_and_one_dead__never_404(
    orchard: Cluster, upstream: Upstream, second: Repository, artifact: str
) -> None:
    path = f"org/demo/{artifact}/maven-metadata.xml"
    upstream.fault(f"/maven/{path}", Fault(status=500))
    assert orchard.get(f"/maven/{path}").status_code == 503
    _forget_breakers(orchard)
    second.add_metadata("org.demo", artifact, ["2.0"])
    wait_until(lambda: orchard.get(f"/maven/{path}").status_code == 200, what="a partial page")
    answer = orchard.get(f"/maven/{path}")
    assert answer.headers["x-cache"] == "STALE" and versions_of(answer.content) == ["2.0"]
    upstream.heal()
    _forget_breakers(orchard)


def test_metadata__absent_everywhere__404(orchard: Cluster, artifact: str) -> None:
    for ending in ("", ".sha1"):
        answer = orchard.get(f"/maven/org/demo/{artifact}/maven-metadata.xml{ending}")
        assert answer.status_code == 404


def test_metadata__web_page_or_doctype__424(orchard: Cluster, first: Repository, artifact: str) -> None:
    path = f"org/demo/{artifact}/maven-metadata.xml"
    bomb = b'<!DOCTYPE m [<!ENTITY a "aa">]><metadata>&a;</metadata>'
    for body in (b"<html><body>log in</body></html>", bomb, b"<metadata>" * 100_000):
        first.put(path, body)
        assert orchard.get(f"/maven/{path}").status_code == 424
    _forget_breakers(orchard)


# --- snapshots --------------------------------------------------------------------------------------


def test_snapshot__unique_immutable_non_unique_revalidated(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str
) -> None:
    folder = f"org/demo/{artifact}/1.0-SNAPSHOT"
    unique = first.put(f"{folder}/{artifact}-1.0-20240101.120000-1.jar", build_jar("unique"))
    plain = first.put(f"{folder}/{artifact}-1.0-SNAPSHOT.jar", build_jar("old"))
    assert orchard.get(f"/maven/{unique}").content == build_jar("unique")
    assert orchard.get(f"/maven/{plain}").content == build_jar("old")
    first.put(plain, build_jar("new"))
    first.put(unique, build_jar("changed"))
    wait_until(lambda: orchard.get(f"/maven/{plain}").content == build_jar("new"), what="the new build")
    assert orchard.get(f"/maven/{plain}.sha1").text == hexdigest("sha1", build_jar("new"))
    assert orchard.get(f"/maven/{unique}").content == build_jar("unique")


@pytest.mark.parametrize(
    "name", ["lib.klib", "ivy-1.0-SNAPSHOT.xml", "other-1.0.pom", "{}--7d2306cde8-1.pom"]
)
def test_snapshot__file_of_another_name__revalidated(
    orchard: Cluster, first: Repository, artifact: str, name: str
) -> None:
    path = f"org/demo/{artifact}/-SNAPSHOT/{name.format(artifact)}"
    for build in ("1", "2"):
        body = build_pom("org.demo", artifact, build, extra="<name/>" * int(build))
        first.put(path, body)
        wait_until(lambda body=body: orchard.get(f"/maven/{path}").content == body, what="the build")
    listed = first.put(f"org/demo/{artifact}/-SNAPSHOT/maven-metadata.xml", b"<metadata/>")
    assert orchard.get(f"/maven/{listed}").content == b"<metadata/>"


def test_catalogue_of_archetypes__of_the_first_that_has_it_and_revalidated(
    orchard: Cluster, first: Repository, second: Repository
) -> None:
    path = "/maven/archetype-catalog.xml"
    assert orchard.get(path).status_code == 404
    second.put("archetype-catalog.xml", b"<archetype-catalog>2</archetype-catalog>")
    wait_until(lambda: b">2<" in orchard.get(path).content, what="the second's")
    first.put("archetype-catalog.xml", b"<archetype-catalog>1</archetype-catalog>")
    wait_until(lambda: b">1<" in orchard.get(path).content, what="the first's")
    answer = orchard.get(path)
    assert answer.headers["content-type"].startswith("application/xml")
    assert orchard.get(f"{path}.sha1").text == hexdigest("sha1", answer.content)


def test_non_unique_snapshot__head_refused_upstream__still_served_and_revalidated(
    orchard: Cluster, upstream: Upstream, artifact: str
) -> None:
    path = f"org/demo/{artifact}/1.0-SNAPSHOT/{artifact}-1.0-SNAPSHOT.jar"
    assert orchard.get(f"/maven/{path}").status_code == 404
    upstream.put(f"/second/{path}", Reply(build_jar("one"), refuses_head=True))
    wait_until(lambda: orchard.get(f"/maven/{path}").status_code == 200, what="the published file")
    answer = orchard.get(f"/maven/{path}")
    assert answer.content == build_jar("one")
    assert "immutable" not in answer.headers["cache-control"]
    assert int(answer.headers["cache-control"].partition("=")[2]) <= 3
    assert answer.headers["x-checksum-sha1"] == hexdigest("sha1", build_jar("one"))
    assert httpx.head(orchard.url(f"/maven/{path}"), trust_env=False).headers["content-length"] == str(
        len(answer.content)
    )
    upstream.fault(f"/second/{path}", Fault(status=503))
    wait_until(lambda: orchard.get(f"/maven/{path}").headers["x-cache"] == "STALE", what="a stale answer")
    assert orchard.get(f"/maven/{path}").content == build_jar("one")
    upstream.heal()
    _forget_breakers(orchard)
    upstream.put(f"/second/{path}", Reply(build_jar("two"), refuses_head=True))
    wait_until(lambda: orchard.get(f"/maven/{path}").content == build_jar("two"), what="the new build")


def test_non_unique_snapshot_of_96_mib__relayed_in_little_memory(
    orchard: Cluster, upstream: Upstream, artifact: str
) -> None:
    size = 96 << 20
    path = f"org/demo/{artifact}/1.0-SNAPSHOT/{artifact}-1.0-SNAPSHOT.zip"

    def part(start: int, end: int) -> bytes:
        return (b"PK\x03\x04" if start == 0 else b"....") + bytes(end - start - 4)

    upstream.put(f"/maven/{path}", Reply(size=size, part=part))
    services = (orchard.gateway, orchard.fetcher)
    before = {each.name: _peak_rss_mib(each, reset=True) for each in services}
    with httpx.stream("GET", orchard.url(f"/maven/{path}"), trust_env=False, timeout=60) as answer:
        assert answer.headers["x-cache"] == "LIVE"
        received = sum(len(piece) for piece in answer.iter_bytes())
    assert received == size
    for each in services:
        assert _peak_rss_mib(each) - before[each.name] < 64, each.name


def _peak_rss_mib(service: Service, *, reset: bool = False) -> float:
    """The most memory that a service's processes had, each; `reset`: from now on (proc(5), clear_refs)."""
    parent = service.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    total = 0.0
    for pid in [str(parent), *children]:
        if reset:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
    return total


# --- dependencies -----------------------------------------------------------------------------------


def test_pom__brings_no_request_for_its_parents_and_boms_and_leaves_no_job(
    orchard: Cluster, upstream: Upstream, first: Repository, artifact: str
) -> None:
    bom = Dep("org.bom", artifact, "1", scope="import", extra="<type>pom</type>").xml()
    coordinates = f"<groupId>org.parent</groupId><artifactId>{artifact}</artifactId><version>1</version>"
    parent = f"<parent>{coordinates}</parent>"
    management = "<dependencyManagement><dependencies>{}</dependencies></dependencyManagement>"
    first.add("org.bom", artifact, "1", pom_extra=management.format(Dep("c", "c", "3").xml()))
    first.add("org.parent", artifact, "1", [Dep("b", "b", "2")], pom_extra=management.format(bom))
    path = first.add("org.demo", artifact, "1.0", [Dep("c", "c")], pom_extra=parent)
    pom = f"/maven/{path.replace('.jar', '.pom')}"
    content = orchard.get(pom).content
    sha256 = hexdigest("sha256", content)

    def extracted() -> bool:
        return bool(orchard.get(f"/api/v1/artifacts/{sha256}").json()["extraction_state"] == "extracted")

    def idle() -> bool:
        total = orchard.get("/api/v1/queues").json()["total"]
        return total["ready"] + total["running"] + total["deferred"] == 0

    wait_until(extracted, what="the extraction")
    wait_until(idle, what="empty queues")
    asked = {each.path for each in upstream.requests if artifact in each.path}
    assert pom in asked
    assert {each for each in asked if not each.startswith(f"/maven/org/demo/{artifact}/")} == set()
    assert not any(each.endswith(".jar") for each in asked), "a POM comes before its jar, and without it"


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("a/../../b/1.0/b-1.0.jar", 400),
        ("a/%2e%2e/b/1.0/b-1.0.jar", 400),
        ("a%2fb/1.0/b-1.0.jar", 400),
        ("a//b/1.0/b-1.0.jar", 400),
        ("a/b/1.0/b-1.0%00.jar", 400),
        ("a/r/v1.0/x~y/r-x~y.jar", 404),
        ("a/b/1.0-%C3%A9/b-1.0-%C3%A9.jar", 400),
        ("a/b/1.0/", 404),
        ("a/b/1.0", 404),
        ("a/b/", 404),
        ("a/b/1.0/b-1.0.jar.sha1.md5", 404),
        ("org.x/b/1.0/b-1.0.jar", 404),
    ],
)
def test_refused__before_any_key_or_request(
    orchard: Cluster, upstream: Upstream, path: str, status: int
) -> None:
    before = len(upstream.requests)
    assert _raw_status(orchard, f"/maven/{path}") == status
    assert len(upstream.requests) == before


def _raw_status(orchard: Cluster, path: str) -> int:
    """The status of a request whose path no library has tidied up."""
    import socket

    with socket.create_connection(("127.0.0.1", orchard.gateway.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return int(connection.recv(4096).split()[1])


def _forget_breakers(orchard: Cluster) -> None:
    """A failing source is left alone for a while; the next test wants it asked."""
    with orchard.client(orchard.cache) as client:
        for key in client.scan_iter(match="orchard:upstream_sources:maven:breaker:*"):
            client.delete(key)
