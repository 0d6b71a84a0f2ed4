"""A request is one trace over the three services, read by the package of OTLP's own specification."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.telemetry.tracing import CLIENT, CONSUMER, SERVER
from tests.support.builders import build_wheel
from tests.support.collector import Collector, Seen
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

pytestmark = pytest.mark.timeout(300)  # a whole Orchard starts first

FILES = {f"demo-{each}-py3-none-any.whl": build_wheel("demo", each) for each in ("1.0", "2.0", "3.0")}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.add_project("demo", FILES)
        yield server


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, collector: Collector
) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_OTLP_ENDPOINT": collector.url,
        "ORCHARD_OTLP_HEADERS": "x-tenant=orchard,authorization=Basic aGlkZGVu",
        "ORCHARD_TRACE_SHARE": "0",
        "ORCHARD_READ_AHEAD": "false",  # what came ahead would be no cold file
    }
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


def address_of(orchard: Cluster, name: str) -> str:
    return next(each["url"] for each in orchard.page("demo")["files"] if each["filename"] == name)


def fetch(orchard: Cluster, url: str, *, sampled: bool = True) -> str:
    """Its trace."""
    trace = secrets.token_hex(16)
    header = f"00-{trace}-{secrets.token_hex(8)}-0{int(sampled)}"
    answer = httpx.get(
        httpx.URL(orchard.url("/pypi/simple/demo/")).join(url),
        headers={"traceparent": header},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 200
    return trace


def one(spans: list[Seen], **wanted: Any) -> Seen:
    (found,) = [each for each in spans if all(getattr(each, name) == value for name, value in wanted.items())]
    return found


def test_a_cold_file__one_trace_through_gateway_fetcher_and_extractor(
    orchard: Cluster, upstream: Upstream, collector: Collector
) -> None:
    url = address_of(orchard, "demo-1.0-py3-none-any.whl")
    trace = fetch(orchard, url + "?token=a-secret")
    wanted = {"GET /pypi", "fetch_artifact", "extract_dependencies"}

    def whole() -> bool:
        found = collector.of(trace)
        return wanted <= {each.name for each in found} and any(each.kind == CLIENT for each in found)

    wait_until(whole, seconds=60)
    spans = collector.of(trace)
    request = one(spans, kind=SERVER)
    fetched = one(spans, name="fetch_artifact")
    asked = one(spans, kind=CLIENT)
    extracted = one(spans, name="extract_dependencies")
    assert [request.service, fetched.service, asked.service, extracted.service] == [
        "orchard-gateway", "orchard-fetcher", "orchard-fetcher", "orchard-extractor",
    ]  # fmt: skip
    assert (fetched.parent, asked.parent, extracted.parent) == (request.id, fetched.id, fetched.id)
    assert (fetched.kind, extracted.kind) == (CONSUMER, CONSUMER)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["url.path"].endswith("/demo-1.0-py3-none-any.whl")
    assert (
        request.attributes["orchard.cache"] in ("LIVE", "MISS") and request.attributes["orchard.request_id"]
    )
    assert fetched.attributes["orchard.outcome"] == "done" and not any(each.error for each in spans)
    assert not any(b"a-secret" in body or b"aGlkZGVu" in body for body in collector.bodies)
    assert {(each["x-tenant"], each["authorization"]) for each in collector.headers} == {
        ("orchard", "Basic aGlkZGVu")
    }
    assert not any("traceparent" in each.headers for each in upstream.requests)


def test_a_trace_that_its_caller_does_not_keep__nothing_is_sent(
    orchard: Cluster, collector: Collector
) -> None:
    untraced = fetch(orchard, address_of(orchard, "demo-2.0-py3-none-any.whl"), sampled=False)
    kept = fetch(orchard, address_of(orchard, "demo-3.0-py3-none-any.whl"))
    wait_until(lambda: len({each.service for each in collector.of(kept)}) == 3, seconds=60)
    assert collector.of(untraced) == []


def test_a_failure__the_span_says_so(orchard: Cluster, collector: Collector) -> None:
    trace = secrets.token_hex(16)
    header = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    assert orchard.get("/pypi/simple/absent/", headers=header).status_code == 404
    wait_until(lambda: any(each.kind == SERVER for each in collector.of(trace)), seconds=60)
    request = one(collector.of(trace), kind=SERVER)
    assert request.error == "" and request.attributes["error.type"] == "project_not_found"
