"""Project pages through every service: negotiation, validators, redirects, odd upstreams."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, problem
from tests.support.upstream import Fault, Reply, Upstream

Names = Callable[[], str]


def _publish(upstream: Upstream, name: str, **options: object) -> bytes:
    wheel = build_wheel(name, "1.0")
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel}, **options)  # type: ignore[arg-type]
    return wheel


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (JSON, JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (f"{JSON}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", JSON),
        ("application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html"),
        ("text/html", "text/html"),
        ("*/*", "text/html"),
    ],
)
def test_project_page__accept_header__answers_that_type_and_varies(
    orchard: Cluster, upstream: Upstream, project: Names, accept: str, content_type: str
) -> None:
    name = project()
    _publish(upstream, name)
    answer = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == content_type
    assert "accept" in answer.headers["vary"].lower()


@pytest.mark.parametrize("accept", ["application/vnd.pypi.simple.v2+json", "application/json", "image/png"])
def test_project_page__unknown_types_only__406(
    orchard: Cluster, upstream: Upstream, project: Names, accept: str
) -> None:
    name = project()
    _publish(upstream, name)
    assert orchard.get(f"/pypi/simple/{name}/", headers={"Accept": accept}).status_code == 406


def test_three_representations__one_upstream_request(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name)
    for accept in (JSON, "application/vnd.pypi.simple.v1+html", "text/html"):
        assert orchard.get(f"/pypi/simple/{name}/", headers={"Accept": accept}).status_code == 200
    assert upstream.count(f"/simple/{name}/") == 1


def test_page__second_request__hit_with_same_strong_etag(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name)
    first = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
    second = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
    assert first.headers["etag"] == second.headers["etag"]
    assert not second.headers["etag"].startswith("W/")
    assert first.content == second.content
    assert 0 < int(second.headers["cache-control"].split("max-age=")[1].split(",")[0]) <= 330


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_if_none_match__current_etag__304_repeats_it_without_body(
    orchard: Cluster, upstream: Upstream, project: Names, coding: str
) -> None:
    name = project()
    _publish(upstream, name)
    headers = {"Accept": JSON, "Accept-Encoding": coding}
    first = orchard.get(f"/pypi/simple/{name}/", headers=headers)
    again = orchard.get(f"/pypi/simple/{name}/", headers={**headers, "If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["etag"] == first.headers["etag"]
    assert again.content == b""
    assert first.headers.get("content-encoding", "identity") == coding


def test_head__page__headers_of_get_without_body(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name)
    get = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON, "Accept-Encoding": "identity"})
    head = httpx.head(
        orchard.url(f"/pypi/simple/{name}/"),
        headers={"Accept": JSON, "Accept-Encoding": "identity"},
        trust_env=False,
    )
    assert head.status_code == 200
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["content-length"] == str(len(get.content))
    assert head.content == b""


@pytest.mark.parametrize("spelling", ["Al.Pha__X", "al-pha-x", "AL-PHA-X/"])
def test_other_spelling__one_relative_redirect(orchard: Cluster, spelling: str) -> None:
    answer = orchard.get(f"/pypi/simple/{spelling}")
    assert answer.status_code in (301, 308)
    assert "://" not in answer.headers["location"]
    assert httpx.URL(orchard.url(f"/pypi/simple/{spelling}")).join(answer.headers["location"]).path == (
        "/pypi/simple/al-pha-x/"
    )


def test_unknown_project__404_once_upstream_then_negative(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    answers = [orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON}) for _ in range(3)]
    assert [each.status_code for each in answers] == [404, 404, 404]
    assert [each.headers["x-cache"] for each in answers[1:]] == ["NEGATIVE", "NEGATIVE"]
    assert upstream.count(f"/simple/{name}/") == 1
    assert problem(answers[0])["code"] == "project_not_found"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=502),
        Fault(status=503),
        Fault(status=504),
        Fault(status=401),
        Fault(status=403),
        Fault(status=429, headers={"Retry-After": "1"}),
        Fault(cut_at=10),
        Fault(reset=True, cut_at=0),
        Fault(body=b"<html><form>Please log in</form></html>", content_type="text/html"),
        Fault(body=b""),
        Fault(body=b'{"meta": {"api-version": "1.0"}', content_type=JSON),
    ],
    ids=lambda fault: f"{fault.status or fault.content_type or 'cut'}-{len(fault.body or b'')}",
)
def test_never_seen__upstream_in_trouble__503_or_lasting__cured_by_the_next_request(
    orchard: Cluster, upstream: Upstream, project: Names, fault: Fault
) -> None:
    name = project()
    _publish(upstream, name)
    upstream.fault(f"/simple/{name}/", fault)
    answer = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
    lasting = fault.status in (401, 403) or fault.body is not None
    assert answer.status_code == (424 if lasting else 503), answer.text
    assert ("retry-after" in answer.headers) == (not lasting)
    upstream.heal()
    _close_breaker(orchard)
    cured = _eventually_200(orchard, f"/pypi/simple/{name}/")
    assert cured.json()["name"] == name


def test_html_upstream__json_page_has_hashes_and_api_version_1_0(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name, html=True)
    page = orchard.page(name)
    assert page["meta"]["api-version"] == "1.0"
    assert page["files"][0]["hashes"]["sha256"]


def test_unknown_keys__pass_through_unrounded(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    upstream.put(
        f"/simple/{name}/",
        Reply(
            (
                '{{"meta":{{"api-version":"1.4","x-future":{{"a":1}}}},"name":"{}","versions":["1.0"],'
                '"project-status":{{"status":"archived","reason":"old"}},"files":[{{"filename":"{}-1.0.tar.gz",'
                '"url":"../../files/x.tar.gz","hashes":{{"sha256":"{}"}},"size":12,'
                '"upload-time":"2024-01-02T03:04:05.678901Z","yanked":"broken <b>","provenance":'
                '"https://example.com/p","x-unknown":[1,2]}}]}}'.format(name, name, "a" * 64)
            ).encode(),
            JSON,
        ),
    )
    page = orchard.page(name)
    entry = page["files"][0]
    assert entry["upload-time"] == "2024-01-02T03:04:05.678901Z"
    assert entry["yanked"] == "broken <b>"
    assert entry["x-unknown"] == [1, 2]
    assert entry["provenance"] == "https://example.com/p"
    assert page["meta"]["x-future"] == {"a": 1}
    assert page["project-status"] == {"status": "archived", "reason": "old"}
    assert "://" not in entry["url"] and "?" not in entry["url"]


def test_root_list__passes_through(orchard: Cluster, upstream: Upstream) -> None:
    upstream.put(
        "/simple/", Reply(b'{"meta":{"api-version":"1.0"},"projects":[{"name":"Some.Thing"}]}', JSON)
    )
    answer = orchard.get("/pypi/simple/", headers={"Accept": JSON})
    assert answer.json()["projects"] == [{"name": "Some.Thing"}]


def test_legacy_json__urls_point_to_this_orchard(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    wheel = _publish(upstream, name)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    import hashlib

    digest = hashlib.sha256(wheel).hexdigest()
    address = f"{upstream.url}/files/{name}/{filename}"
    entry = f'{{"filename":"{filename}","url":"{address}","digests":{{"sha256":"{digest}"}}}}'
    upstream.put(
        f"/pypi/{name}/json",
        Reply(
            f'{{"info":{{"name":"{name}","version":"1.0"}},"releases":{{"1.0":[{entry}]}},"urls":[{entry}]}}'.encode(),
            "application/json",
        ),
    )
    answer = orchard.get(f"/pypi/pypi/{name}/json")
    assert answer.status_code == 200
    address = answer.json()["urls"][0]["url"]
    assert address.startswith(orchard.url("/pypi/files/"))
    assert answer.json()["releases"]["1.0"][0]["url"] == address
    assert httpx.get(address, trust_env=False).content == wheel


def _eventually_200(orchard: Cluster, path: str) -> httpx.Response:
    """Failures are shared for some seconds and a breaker may be open: ask until it is well again."""
    import time

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = orchard.get(path, headers={"Accept": JSON})
        if answer.status_code == 200:
            return answer
        assert answer.status_code in (424, 503)
        time.sleep(0.2)
    raise AssertionError(f"still {answer.status_code} after 20 s: {answer.text}")


def _close_breaker(orchard: Cluster) -> None:
    """Forget the breaker's state, so that one test's faults do not slow the next."""
    orchard.cache.command(
        "EVAL", "for _,k in ipairs(redis.call('KEYS','*breaker*')) do redis.call('DEL',k) end", "0"
    )
