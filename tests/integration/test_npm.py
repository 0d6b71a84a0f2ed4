"""npm through every service: documents in both forms, tarballs, odd upstreams, services of a registry."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.npm_builders import (
    PREFIX,
    build_packument,
    build_tarball,
    integrity,
    packument_path,
    publish,
    put_packument,
    tarball_path,
    version_path,
)
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Fault, Reply, Upstream

Names = Callable[[], str]

ABBREVIATED = "application/vnd.npm.install-v1+json"
PNPM = f"{ABBREVIATED}; q=1.0, application/json; q=0.8, */*"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_CACHE_TTL_INDEX": "2"}


def _packument(orchard: Cluster, name: str, **headers: str) -> dict[str, Any]:
    answer = orchard.get(f"/npm/{name}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _refreshed(orchard: Cluster, name: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The packument once a refresh has brought what is waited for."""
    found: dict[str, Any] = {}

    def look() -> bool:
        found.update(orchard.get(f"/npm/{name}", headers={"Cache-Control": "no-cache"}).json())
        return condition(found)

    wait_until(look, what="the refreshed packument")
    return found


# --- documents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (ABBREVIATED, ABBREVIATED),
        (PNPM, ABBREVIATED),
        ("application/json; q=1.0, */*", "application/json"),
        ("text/html", "application/json"),
    ],
)
def test_packument__accept_header__full_or_abbreviated(
    orchard: Cluster, upstream: Upstream, project: Names, accept: str | None, content_type: str
) -> None:
    name = project()
    publish(
        upstream, name, {"1.0.0": {"scripts": {"postinstall": "true"}, "libc": ["musl"], "private": False}}
    )
    answer = httpx.request(
        "GET", orchard.url(f"/npm/{name}"), headers={"Accept": accept} if accept else {}, trust_env=False
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.headers["etag"].startswith('"')
    document = answer.json()
    manifest = document["versions"]["1.0.0"]
    assert manifest["libc"] == ["musl"]
    if content_type == ABBREVIATED:
        assert set(document) == {"name", "modified", "dist-tags", "versions"}
        assert manifest["hasInstallScript"] is True
        assert "scripts" not in manifest and "private" not in manifest
    else:
        assert document["readme"] == "# read me"
        assert document["time"]["1.0.0"] == "2020-01-02T03:04:05.678Z"
    assert upstream.count(packument_path(name)) == 1


def test_packument__only_the_tarball_address_differs_from_upstream(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(
        upstream, name, {"1.0.0": {}, "1.1.0-beta.1+build": {}}, tags={"next": "1.1.0-beta.1+build"}
    )
    theirs = json.loads(upstream._replies[packument_path(name)].body)
    ours = _packument(orchard, name)
    for version in data:
        address = ours["versions"][version]["dist"].pop("tarball")
        theirs["versions"][version]["dist"].pop("tarball")
        assert address == orchard.url(f"/npm/{name}/-/{name}-{version}.tgz")
        assert httpx.get(address, trust_env=False).content == data[version]
    assert ours == theirs


def test_scoped_name__three_spellings__one_entry(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = f"@scope/{project()}"
    data = publish(upstream, name, {"1.0.0": {}})["1.0.0"]
    bodies = {orchard.get(f"/npm/{name.replace('/', slash)}").content for slash in ("/", "%2f", "%2F")}
    assert len(bodies) == 1
    assert upstream.count(packument_path(name)) == 1
    file = f"{name.rpartition('/')[2]}-1.0.0.tgz"
    answers = [orchard.get(f"/npm/{name.replace('/', slash)}/-/{file}") for slash in ("/", "%2f", "%2F")]
    assert {each.content for each in answers} == {data}
    assert upstream.count(tarball_path(name, "1.0.0")) == 1


def test_names_that_differ_by_case__stay_apart(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})
    publish(upstream, name.upper(), {"2.0.0": {}})
    assert list(_packument(orchard, name)["versions"]) == ["1.0.0"]
    assert list(_packument(orchard, name.upper())["versions"]) == ["2.0.0"]


def test_if_none_match__never_across_variants(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})
    tags = {}
    for accept in (ABBREVIATED, "application/json"):
        for coding in ("gzip", "identity"):
            headers = {"Accept": accept, "Accept-Encoding": coding}
            first = orchard.get(f"/npm/{name}", headers=headers)
            assert first.headers.get("content-encoding", "identity") == coding
            tags[accept, coding] = first.headers["etag"]
            again = orchard.get(f"/npm/{name}", headers={**headers, "If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
    assert len(set(tags.values())) == 4
    wrong = {"Accept": ABBREVIATED, "If-None-Match": tags["application/json", "identity"]}
    assert orchard.get(f"/npm/{name}", headers=wrong).status_code == 200


def test_packument__two_addresses__each_gets_its_own_links(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})
    for host in ("127.0.0.1", "localhost") * 3 + ("localhost",) * 3:
        base = f"http://{host}:{orchard.gateway.port}"
        answer = httpx.get(orchard.url(f"/npm/{name}"), headers={"Host": base[7:]}, trust_env=False)
        assert answer.json()["versions"]["1.0.0"]["dist"]["tarball"].startswith(f"{base}/npm/{name}/-/")
    assert upstream.count(packument_path(name)) == 1


def test_version_and_tag_documents__and_dist_tags(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}, "2.0.0": {}}, tags={"old": "1.0.0"})
    for spec, version in (("1.0.0", "1.0.0"), ("latest", "2.0.0"), ("old", "1.0.0")):
        manifest = orchard.get(f"/npm/{name}/{spec}").json()
        assert manifest["version"] == version
        assert manifest["dist"]["tarball"] == orchard.url(f"/npm/{name}/-/{name}-{version}.tgz")
        assert manifest["dist"]["signatures"] == [{"keyid": "SHA256:test", "sig": "MEQC+/=="}]
    assert upstream.count(packument_path(name)) == 0
    tags = orchard.get(f"/npm/-/package/{name}/dist-tags")
    assert tags.json() == {"latest": "2.0.0", "old": "1.0.0"}
    assert orchard.get(f"/npm/{name}/9.9.9").status_code == 404


def test_unknown_package__404_with_the_text_that_npm_prints(orchard: Cluster, project: Names) -> None:
    answer = orchard.get(f"/npm/{project()}")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("not found: no upstream has ")


@pytest.mark.parametrize(
    "path",
    [
        "/npm/@/x",
        "/npm/a/../../b",
        "/npm/%2e%2e",
        "/npm/node_modules",
        "/npm/__proto__",
        "/npm/a%00b",
        "/npm/a%2fb",
    ],
)
def test_hostile_name__400_with_a_reason_and_no_upstream_request(
    orchard: Cluster, upstream: Upstream, path: str
) -> None:
    before = upstream.count()
    status, body = _raw_get(orchard, path)
    assert status == 400
    assert json.loads(body)["error"]
    assert upstream.count() == before


def _raw_get(orchard: Cluster, path: str) -> tuple[int, bytes]:
    """GET without any client's tidying of the path."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", orchard.gateway.port, timeout=10)
    try:
        connection.putrequest("GET", path)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# --- what upstreams leave out, change or get wrong -----------------------------------------------------


def test_time__absent_upstream__first_seen_and_kept(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}}, time={})
    first = _packument(orchard, name)["time"]
    assert set(first) == {"created", "modified", "1.0.0"}
    publish(upstream, name, {"1.0.0": {}, "1.1.0": {}}, time={})
    second = _refreshed(orchard, name, lambda each: "1.1.0" in each["versions"])["time"]
    assert second["1.0.0"] == first["1.0.0"]
    assert second["1.1.0"] > first["1.0.0"]


@pytest.mark.parametrize("shape", ["/npm/{name}/download/1.0.0", "/elsewhere/{name}-1.0.0.tgz", "/f/pkg.tgz"])
def test_tarball__wherever_upstream_keeps_it__under_the_usual_address(
    orchard: Cluster, upstream: Upstream, project: Names, shape: str
) -> None:
    name = project()
    data = build_tarball(name, "1.0.0")
    address = upstream.put(shape.format(name=name), data)
    put_packument(upstream, build_packument(upstream.url, name, {"1.0.0": data}, dist={"tarball": address}))
    shown = _packument(orchard, name)["versions"]["1.0.0"]["dist"]["tarball"]
    assert shown == orchard.url(f"/npm/{name}/-/{name}-1.0.0.tgz")
    assert httpx.get(shown, trust_env=False).content == data


@pytest.mark.parametrize(
    "tarball", ["javascript:alert(1)", "file:///etc/passwd", "ftp://files.example.com/x-1.0.0.tgz", "", None]
)
def test_tarball__at_an_impossible_address__version_not_shown(
    orchard: Cluster, upstream: Upstream, project: Names, tarball: str | None
) -> None:
    name = project()
    good, bad = build_tarball(name, "1.0.0"), build_tarball(name, "2.0.0")
    upstream.put(tarball_path(name, "1.0.0"), good)
    document = build_packument(upstream.url, name, {"1.0.0": good, "2.0.0": bad})
    document["versions"]["2.0.0"]["dist"]["tarball"] = tarball
    put_packument(upstream, document)
    before = orchard.metric(orchard.fetcher, "orchard_index_entries_dropped_total")
    ours = _packument(orchard, name)
    assert orchard.metric(orchard.fetcher, "orchard_index_entries_dropped_total") == before + 1
    assert list(ours["versions"]) == ["1.0.0"]
    assert ours["dist-tags"] == {"latest": "1.0.0"}  # clients cannot do without it: the newest left
    assert "index_entries_dropped" in orchard.logs()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>sign in</html>",
        b'{"name":"x"}',
        b'{"name":"another","versions":{}}',
        b'{"versions":NaN}',
        b"[" * 200_000,
        b'{"name":"x","versions":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"versions":{},"name":"\xff"}',
    ],
    ids=["html", "no-versions", "another", "nan", "deep-list", "deep-object", "latin"],
)
def test_packument__nonsense_from_upstream__424_and_never_404(
    orchard: Cluster, upstream: Upstream, project: Names, body: bytes
) -> None:
    name = project()
    upstream.put(packument_path(name), Reply(body, "application/json"))
    answer = orchard.get(f"/npm/{name}")
    assert answer.status_code == 424
    assert "retry-after" not in answer.headers
    assert answer.json()["error"]
    _close_breaker(orchard)


def test_upstream_down__stale_document__then_503_for_what_was_never_seen(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name, unseen = project(), project()
    publish(upstream, name, {"1.0.0": {}})
    before = _packument(orchard, name)
    upstream.fault("*", Fault(status=500))
    wait_until(lambda: orchard.get(f"/npm/{name}").headers["x-cache"] == "STALE", what="a stale answer")
    assert _packument(orchard, name) == before
    answer = orchard.get(f"/npm/{unseen}")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    upstream.heal()
    _close_breaker(orchard)


def test_withdrawn_version__no_longer_offered__bytes_stay(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}, "1.1.0": {}})
    path = f"/npm/{name}/-/{name}-1.1.0.tgz"
    assert orchard.get(path).content == data["1.1.0"]
    _packument(orchard, name)
    publish(upstream, name, {"1.0.0": {}})
    upstream.remove(version_path(name, "1.1.0"))
    upstream.remove(tarball_path(name, "1.1.0"))
    _refreshed(orchard, name, lambda each: list(each["versions"]) == ["1.0.0"])
    assert orchard.get(path).content == data["1.1.0"]


def test_sealed_tarball__other_digests_upstream_later__first_ones_stay_and_it_is_reported(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}})["1.0.0"]
    shown = _packument(orchard, name)["versions"]["1.0.0"]["dist"]
    assert httpx.get(shown["tarball"], trust_env=False).content == data
    publish(upstream, name, {"1.0.0": {"changed": True}, "1.0.1": {}})
    later = _refreshed(orchard, name, lambda each: "1.0.1" in each["versions"])
    assert later["versions"]["1.0.0"]["dist"] == shown
    assert httpx.get(shown["tarball"], trust_env=False).content == data
    assert "upstream_mutated" in orchard.logs()


def test_tarball_sealed_before_any_packument__packument_of_other_bytes__shows_the_sealed_ones(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}})["1.0.0"]
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data
    publish(upstream, name, {"1.0.0": {"changed": True}})
    dist = _packument(orchard, name)["versions"]["1.0.0"]["dist"]
    assert dist["integrity"] == integrity(data)
    assert httpx.get(dist["tarball"], trust_env=False).content == data


def test_sealed_tarball__new_signatures_over_the_same_bytes__are_taken(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}})["1.0.0"]
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data
    _packument(orchard, name)
    publish(upstream, name, {"1.0.0": {}}, dist={"signatures": [{"keyid": "new", "sig": "x"}]})
    _refreshed(
        orchard, name, lambda each: each["versions"]["1.0.0"]["dist"]["signatures"][0]["keyid"] == "new"
    )


def test_refresh__same_bytes_from_an_upstream_without_validators__nothing_is_made_anew(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})
    body = upstream._replies[packument_path(name)].body
    upstream.put(packument_path(name), Reply(body, "application/json", etag=""))
    first = orchard.get(f"/npm/{name}")
    wait_until(
        lambda: (
            orchard.get(f"/npm/{name}").headers["x-cache"] in ("REVALIDATED", "HIT")
            and upstream.count(packument_path(name)) >= 3
        ),
        what="two refreshes",
    )
    assert orchard.get(f"/npm/{name}").headers["etag"] == first.headers["etag"]
    stored = [
        line for line in orchard.logs().splitlines() if f"packument/{name}" in line and "index_stored" in line
    ]
    assert len(stored) == 1


# --- tarballs -------------------------------------------------------------------------------------------


def test_tarball__on_an_empty_orchard__looked_up_by_its_version_document_alone(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    for name in (project(), f"@lock/{project()}"):
        data = publish(upstream, name, {"1.0.0": {}, "1.1.0": {}})["1.0.0"]
        answer = orchard.get(f"/npm/{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz")
        assert answer.content == data
        assert upstream.count(version_path(name, "1.0.0")) == 1
        assert upstream.count(packument_path(name)) == 0
        assert upstream.count(tarball_path(name, "1.0.0")) == 1


def test_tarball__upstream_without_version_documents__found_by_the_packument(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, version_documents=False)["1.0.0"]
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data


def test_tarball__version_that_a_fresh_packument_lacks__one_revalidation(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})
    _packument(orchard, name)
    data = publish(upstream, name, {"1.0.0": {}, "1.0.1": {}})["1.0.1"]
    wait_until(
        lambda: orchard.get(f"/npm/{name}/-/{name}-1.0.1.tgz").status_code == 200, what="the new version"
    )
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.1.tgz").content == data
    assert upstream.count(packument_path(name)) <= 3
    assert orchard.get(f"/npm/{name}/-/{name}-7.7.7.tgz").status_code == 404


@pytest.mark.parametrize(
    "dist",
    [
        {"integrity": None},
        {"shasum": None},
        {"integrity": None, "shasum": None},
        {"integrity": "sha1-AAAA? md5-x sha512-!!!"},
    ],
    ids=["sha1", "sha512", "none", "unreadable"],
)
def test_tarball__digests_upstream_may_offer__all_install(
    orchard: Cluster, upstream: Upstream, project: Names, dist: dict[str, Any]
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, dist=dist)["1.0.0"]
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data


def test_tarball__several_digests__strongest_counts(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = build_tarball(name, "1.0.0")
    both = f"{integrity(data, 'sha1')} {integrity(b'other')}"
    publish(upstream, name, {"1.0.0": {}}, dist={"integrity": both})
    answer = orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz")
    assert answer.status_code == 403
    _close_breaker(orchard)


def test_tarball__wrong_bytes__nothing_kept_and_the_next_request_succeeds(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, size_bytes=600_000)["1.0.0"]
    upstream.fault(tarball_path(name, "1.0.0"), Fault(flip_at=5000))
    path = f"/npm/{name}/-/{name}-1.0.0.tgz"
    with pytest.raises((httpx.RemoteProtocolError, AssertionError)):
        assert orchard.get(path).status_code == 200
    upstream.heal()
    _close_breaker(orchard)
    wait_until(lambda: orchard.get(path).status_code == 200, what="the healed tarball")
    assert orchard.get(path).content == data


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut_at=300_000),
        Fault(cut_at=300_000, no_length=True),
        Fault(cut_at=300_000, chunked=True),
        Fault(surplus=b"more", chunked=True),
        Fault(body=b"<html>sign in</html>"),
    ],
    ids=["cut", "cut-without-length", "cut-in-chunks", "garbage-after-chunks", "login-page"],
)
def test_tarball__cut_or_spoilt_at_every_try__all_bytes_or_none_kept_and_the_next_succeeds(
    orchard: Cluster, upstream: Upstream, project: Names, fault: Fault
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, size_bytes=600_000)["1.0.0"]
    upstream.fault(tarball_path(name, "1.0.0"), fault)
    path = f"/npm/{name}/-/{name}-1.0.0.tgz"
    try:
        answer = orchard.get(path)
        assert answer.status_code in (403, 503) or answer.content == data
    except httpx.RemoteProtocolError:
        pass  # broken off before its last byte
    upstream.heal()
    _close_breaker(orchard)
    wait_until(lambda: orchard.get(path).status_code == 200, what="the healed tarball")
    assert orchard.get(path).content == data


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut_at=100),
        Fault(cut_at=100, no_length=True),
        Fault(cut_at=100, chunked=True),
        Fault(flip_at=0),
    ],
    ids=["cut", "cut-without-length", "cut-in-chunks", "spoilt"],
)
def test_packument__cut_or_spoilt__nothing_kept_and_the_next_succeeds(
    orchard: Cluster, upstream: Upstream, project: Names, fault: Fault
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})
    upstream.fault(packument_path(name), fault)
    answer = orchard.get(f"/npm/{name}")
    assert answer.status_code in (424, 503)
    upstream.heal()
    _close_breaker(orchard)
    wait_until(lambda: orchard.get(f"/npm/{name}").status_code == 200, what="the healed packument")
    assert list(_packument(orchard, name)["versions"]) == ["1.0.0"]


def test_tarball__cut_upstream__client_gets_all_bytes(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, size_bytes=900_000)["1.0.0"]
    upstream.fault(tarball_path(name, "1.0.0"), Fault(cut_at=300_000, reset=True), times=1)
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data
    assert upstream.count(tarball_path(name, "1.0.0")) == 2


def test_stampede__thirty_cold_clients__one_upstream_request_each(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, size_bytes=400_000)["1.0.0"]
    upstream.fault("*", Fault(delay_seconds=0.3))
    with ThreadPoolExecutor(30) as pool:
        pages = list(pool.map(lambda _: orchard.get(f"/npm/{name}").status_code, range(30)))
        files = list(pool.map(lambda _: orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content, range(30)))
    assert pages == [200] * 30
    assert set(files) == {data}
    assert upstream.count(packument_path(name)) == 1
    assert upstream.count(tarball_path(name, "1.0.0")) == 1


# --- services of a registry ---------------------------------------------------------------------------


def test_ping_and_whoami__answered_without_upstream(orchard: Cluster, upstream: Upstream) -> None:
    before = upstream.count()
    assert orchard.get("/npm/-/ping").json() == {}
    assert orchard.get("/npm/").json() == {}
    assert "username" in orchard.get("/npm/-/whoami").json()
    assert upstream.count() == before


def test_search__passed_on_with_its_query(orchard: Cluster, upstream: Upstream) -> None:
    upstream.put(f"{PREFIX}/-/v1/search", Reply(b'{"objects":[],"total":0}', "application/json"))
    answer = orchard.get("/npm/-/v1/search?text=left%20pad&size=20")
    assert answer.json() == {"objects": [], "total": 0}
    assert answer.headers["cache-control"] == "no-store"
    assert upstream.requests[-1].path == f"{PREFIX}/-/v1/search?text=left%20pad&size=20"
    upstream.fault(f"{PREFIX}/-/v1/search", Fault(status=500))
    failed = orchard.get("/npm/-/v1/search?text=x")
    assert failed.status_code == 503
    assert failed.json()["error"]


@pytest.mark.parametrize("path", ["/-/npm/v1/security/advisories/bulk", "/-/npm/v1/security/audits/quick"])
def test_audit__packed_body_passed_on_as_it_is(orchard: Cluster, upstream: Upstream, path: str) -> None:
    upstream.put(PREFIX + path, Reply(b'{"left-pad":[{"id":1}]}', "application/json"))
    body = gzip.compress(json.dumps({"left-pad": ["1.0.0"]}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = httpx.post(orchard.url(f"/npm{path}"), content=body, headers=headers, trust_env=False)
    assert answer.json() == {"left-pad": [{"id": 1}]}
    seen = upstream.seen(PREFIX + path)[-1]
    assert (seen.body, seen.headers["content-encoding"]) == (body, "gzip")
    upstream.remove(PREFIX + path)


@pytest.mark.parametrize("path", ["/-/npm/v1/security/advisories/bulk", "/-/npm/v1/security/audits/quick"])
@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault(status=500), 503), (Fault(status=404), 404), (Fault(cut_at=0, reset=True), 503)],
)
def test_audit__upstream_cannot_answer__fails(
    orchard: Cluster, upstream: Upstream, path: str, fault: Fault, status: int
) -> None:
    upstream.fault(PREFIX + path, fault)
    answer = httpx.post(orchard.url(f"/npm{path}"), json={"x": ["1"]}, trust_env=False)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_audit__body_over_eight_mebibytes__413(orchard: Cluster, upstream: Upstream) -> None:
    url = orchard.url("/npm/-/npm/v1/security/advisories/bulk")
    answer = httpx.post(url, content=b"x" * (8 * 1024 * 1024 + 1), trust_env=False)
    assert answer.status_code == 413
    assert answer.json()["code"] == "request_too_large"


@pytest.mark.parametrize(
    "prefix",
    ["", "/npm", "/npm/npm", "/npm/repository/all", "/repository/npm-all", "//npm/", "/api/npm/virtual"],
)
def test_tarball__whatever_path_a_client_keeps_before_it__is_served(
    orchard: Cluster, upstream: Upstream, project: Names, prefix: str
) -> None:
    for name in (project(), f"@scope/{project()}"):
        data = publish(upstream, name, {"1.0.0": {}})["1.0.0"]
        address = f"{prefix}/{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz"
        for _ in range(2):
            answer = orchard.get(address)
            assert (answer.status_code, answer.content) == (200, data)


@pytest.mark.parametrize("prefix", ["", "/npm", "//npm/"])
def test_services__at_the_root_too__where_clients_leave_the_path_out(
    orchard: Cluster, upstream: Upstream, project: Names, prefix: str
) -> None:
    name = project()
    attestations = f"/-/npm/v1/attestations/{name}@1.0.0"
    upstream.put(f"{PREFIX}{attestations}", Reply(b'{"attestations":[]}', "application/json"))
    assert orchard.get(f"{prefix}{attestations}").json() == {"attestations": []}


@pytest.mark.parametrize("path", ["/api/v1/x/-/x-1.0.0.tgz", "/ui/x/-/x-1.0.0.tgz", "/x/x-1.0.0.tgz", "/x"])
def test_root__what_is_not_npms__stays_unknown(orchard: Cluster, path: str) -> None:
    answer = orchard.get(path)
    assert answer.status_code == 404
    assert "project_not_found" not in answer.text  # below /ui/ a page says so


@pytest.mark.parametrize("form", ["/npm/{}/", "/npm//{}", "//npm/{}//", "/npm/{}"])
def test_packument__slashes_too_many__the_same(
    orchard: Cluster, upstream: Upstream, project: Names, form: str
) -> None:
    for name in (project(), f"@scope/{project()}"):
        publish(upstream, name, {"1.0.0": {}})
        assert orchard.get(form.format(name)).json()["name"] == name


@pytest.mark.parametrize(
    ("spec", "version"),
    [("5-legacy", "5.9.0"), ("pr%2F12", "0.0.1-pr"), ("_x", "1.0.0"), ("1.0.0", "1.0.0+build.5")],
)
def test_version_document__odd_tags_and_build_metadata__are_served(
    orchard: Cluster, upstream: Upstream, project: Names, spec: str, version: str
) -> None:
    name = project()
    document = build_packument(upstream.url, name, {version: build_tarball(name, version)})["versions"][
        version
    ]
    upstream.put(version_path(name, spec), Reply(json.dumps(document).encode(), "application/json"))
    assert orchard.get(f"/npm/{name}/{spec}").json()["version"] == version


def test_tarball__packed_once_more_on_the_way__is_the_one_that_was_published(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}}, size_bytes=300_000)["1.0.0"]
    packed = Reply(gzip.compress(data), headers={"content-encoding": "gzip"})
    upstream.put(tarball_path(name, "1.0.0"), packed)
    for _ in range(2):
        answer = orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz")
        assert (answer.status_code, answer.content) == (200, data)


@pytest.mark.parametrize("spoilt", [rb"\ud83d", b"\xe9", rb"\uDE00 \u0000"])
def test_readme__with_half_an_emoji_or_a_latin_1_byte__package_is_served(
    orchard: Cluster, upstream: Upstream, project: Names, spoilt: bytes
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}})["1.0.0"]
    document = json.dumps(build_packument(upstream.url, name, {"1.0.0": data})).encode()
    upstream.put(packument_path(name), Reply(document.replace(b"# read me", spoilt), "application/json"))
    for headers in ({}, {"Accept": ABBREVIATED}):
        assert list(_packument(orchard, name, **headers)["versions"]) == ["1.0.0"]
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data


@pytest.mark.parametrize("order", [("right", "other"), ("other", "right"), ("unreadable", "right")])
def test_integrity__of_several_digests__any_of_them_will_do_and_it_is_checked(
    orchard: Cluster, upstream: Upstream, project: Names, order: tuple[str, str]
) -> None:
    name = project()
    data = build_tarball(name, "1.0.0")
    told = {"right": integrity(data), "other": integrity(b"other"), "unreadable": "sha512-?broken"}
    dist = {"integrity": " ".join(told[each] for each in order), "shasum": None}
    publish(upstream, name, {"1.0.0": {}}, dist=dist)
    upstream.fault(tarball_path(name, "1.0.0"), Fault(flip_at=50), times=1)
    path = f"/npm/{name}/-/{name}-1.0.0.tgz"
    with contextlib.suppress(httpx.RemoteProtocolError):
        assert orchard.get(path).status_code != 200
    wait_until(lambda: orchard.get(path).status_code == 200, what="the tarball")
    assert orchard.get(path).content == data
    assert _packument(orchard, name)["versions"]["1.0.0"]["dist"]["integrity"] == dist["integrity"]


@pytest.mark.parametrize("accept", ["application/json", ABBREVIATED])
def test_version_without_a_digest__once_stored__its_integrity_is_told(
    orchard: Cluster, upstream: Upstream, project: Names, accept: str
) -> None:
    name = project()
    data = publish(upstream, name, {"1.0.0": {}, "1.0.1": {}}, dist={"integrity": None, "shasum": None})[
        "1.0.0"
    ]
    assert "integrity" not in _packument(orchard, name)["versions"]["1.0.0"]["dist"]
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data

    def dist(version: str) -> Any:
        return _packument(orchard, name, Accept=accept)["versions"][version]["dist"]

    wait_until(lambda: "integrity" in dist("1.0.0"), what="the digest in the packument")
    assert dist("1.0.0")["integrity"] == integrity(data)
    assert dist("1.0.0")["shasum"] == hashlib.sha1(data).hexdigest()
    assert "integrity" not in dist("1.0.1")


def test_package_named_dash__is_served(orchard: Cluster, upstream: Upstream) -> None:
    data = publish(upstream, "-", {"0.0.1": {}})["0.0.1"]
    packument = _packument(orchard, "-")
    address = packument["versions"]["0.0.1"]["dist"]["tarball"]
    assert address == orchard.url("/npm/-/-/--0.0.1.tgz")
    assert httpx.get(address, trust_env=False).content == data
    assert orchard.get("/npm/-/0.0.1").json()["version"] == "0.0.1"


def test_keys_and_attestations__cached_byte_for_byte(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = f"@scope/{project()}"
    paths = {
        "/-/npm/v1/keys": b'{"keys": [ {"keyid":"SHA256:test"} ]}',
        f"/-/npm/v1/attestations/{name.replace('/', '%2f')}@1.0.0": b'{"attestations":  []}',
    }
    for path, body in paths.items():
        upstream.put(PREFIX + path.replace("%2f", "%2F"), Reply(body, "application/json"))
        assert [orchard.get(f"/npm{path}").content for _ in range(2)] == [body, body]
        assert upstream.count(PREFIX + path.replace("%2f", "%2F")) == 1
    assert orchard.get(f"/npm/-/npm/v1/attestations/{project()}@1.0.0").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_publishing__refused(orchard: Cluster, method: str) -> None:
    answer = httpx.request(method, orchard.url("/npm/some-package"), trust_env=False)
    assert answer.status_code == 405


def test_health__shows_no_workers_token_nor_address(orchard: Cluster) -> None:
    wait_until(lambda: orchard.get("/health").json()["workers"].get("fetcher"), what="a heartbeat")
    for each in orchard.get("/health").json()["workers"]["fetcher"]:
        assert not any(each.get(name) for name in ("token", "nonce", "address"))


def test_forward_route__without_token__refused(orchard: Cluster) -> None:
    answer = httpx.post(f"{orchard.fetcher.base}/forward/npm", trust_env=False)
    assert answer.status_code == 403


# --- extraction ---------------------------------------------------------------------------------------


def test_dependencies__of_a_fetched_tarball__reach_the_database(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    manifest = {"dependencies": {"left-pad": "^1.0.0"}, "peerDependencies": {"react": ">=18"}}
    data = publish(upstream, name, {"1.0.0": manifest})["1.0.0"]
    assert orchard.get(f"/npm/{name}/-/{name}-1.0.0.tgz").content == data
    digest = hashlib.sha256(data).hexdigest()
    wait_until(
        lambda: any(
            digest in line and '"extracted"' in line and '"dependencies":2' in line
            for line in orchard.logs().splitlines()
        ),
        what="the extraction",
    )


def _close_breaker(orchard: Cluster) -> None:
    """Forget the breaker's state, so that one test's faults do not slow the next."""
    orchard.cache.command(
        "EVAL", "for _,k in ipairs(redis.call('KEYS','*breaker*')) do redis.call('DEL',k) end", "0"
    )
