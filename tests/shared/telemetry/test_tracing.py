"""Trace Context, what a span may tell, and what becomes of spans that no collector takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.queue.jobs import FetchIndex
from shared.queue.keys import decode_job, encode_job, traceparent_of
from shared.settings import load_settings
from shared.telemetry import otlp, tracing
from shared.telemetry.metrics import REGISTRY
from tests.support.collector import Collector

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
JOB = FetchIndex("pypi", "simple/demo")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running
    tracing.configure_tracing("gateway", load_settings({}))


def configure(url: str, **settings: str) -> None:
    tracing.configure_tracing("gateway", load_settings({"ORCHARD_OTLP_ENDPOINT": url, **settings}))


def closed() -> None:
    assert tracing._exporter is not None
    tracing._exporter.close()


def spans(result: str) -> float:
    return REGISTRY.get_sample_value("orchard_trace_spans_total", {"result": result}) or 0.0


def test_off__no_span_and_a_job_is_queued_as_it_ever_was() -> None:
    tracing.configure_tracing("gateway", load_settings({}))
    assert not tracing.is_on() and tracing.begin("x", tracing.SERVER, (b"1" * 16, b"")) is None
    assert tracing.traceparent() == "" and b"tp" not in encode_job(JOB)


@pytest.mark.parametrize(
    "header, kept",
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"42-{TRACE}-{PARENT}-01-more", True),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("share", ["0", "1"])
def test_whose_trace_it_is(collector: Collector, header: str, kept: bool | None, share: str) -> None:
    """None: the header says nothing, so the share of traced requests decides."""
    configure(collector.url, ORCHARD_TRACE_SHARE=share)
    found = tracing.accepted(header)
    if kept is None:
        assert (found is not None) == (share == "1")
        assert found is None or (found[0].hex() != TRACE and found[1] == b"")
    else:
        assert found == ((bytes.fromhex(TRACE), bytes.fromhex(PARENT)) if kept else None)


def test_a_job_carries_its_trace__and_versions_without_pass_over_it(collector: Collector) -> None:
    configure(collector.url)
    span = tracing.begin("GET /pypi", tracing.SERVER, (bytes.fromhex(TRACE), b""))
    assert span is not None
    with tracing.inside(span):
        payload = encode_job(JOB)
    assert traceparent_of(payload) == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert decode_job(payload, {"fetch_index": FetchIndex}) == JOB
    assert traceparent_of(encode_job(JOB)) == "" and traceparent_of(b"damaged") == ""


def test_what_is_encoded_is_what_the_specification_reads(collector: Collector) -> None:
    configure(collector.url)
    span = tracing.begin("naïve \N{DEER}", tracing.CLIENT, (bytes.fromhex(TRACE), bytes.fromhex(PARENT)))
    values: dict[str, otlp.Value] = {
        "a__text": "é" * 1000, "a__number": -(2**40), "a__share": 0.25, "a__flag": True,
    }  # fmt: skip
    tracing.end(span, error="upstream_timeout", **values)
    closed()
    (seen,) = collector.spans
    assert (seen.service, seen.name, seen.kind) == ("orchard-gateway", "naïve \N{DEER}", tracing.CLIENT)
    assert (seen.trace, seen.parent, seen.error) == (TRACE, PARENT, "upstream_timeout")
    assert seen.attributes == {
        "a.text": "é" * tracing.LONGEST, "a.number": -(2**40), "a.share": "0.250000", "a.flag": True,
    }  # fmt: skip
    assert 0 <= seen.seconds < 60 and collector.headers[0]["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize(
    "path, shown",
    [
        ("/pypi/simple/demo/", "/pypi/simple/demo/"),
        ("/npm/-/user/token/npm_abc", "/npm/-/user/token/…"),
        ("/x/api-key/abc/rest?password=1", "/x/api-key/…/rest"),
    ],
)
def test_no_secret_of_a_path_is_an_attribute(path: str, shown: str) -> None:
    assert tracing.shown_path(path) == shown


def test_name_and_path_of_a_stranger__are_cut(collector: Collector) -> None:
    configure(collector.url)
    assert len(tracing.shown_path("/" + "key" * 20_000)) <= tracing.LONGEST
    span = tracing.begin("x" * 70_000, tracing.SERVER, (b"t" * 16, b"s" * 8))
    assert span is not None and len(span.name) == tracing.LONGEST


def test_a_collector_that_takes_nothing__spans_are_dropped_and_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "MOST_WAITING", 3)
    collector.status = 503
    configure(collector.url)
    before = spans("dropped")
    for _ in range(5):
        tracing.end(tracing.begin("x", tracing.SERVER, (b"1" * 16, b"")))
    closed()
    assert spans("dropped") - before == 5
    assert len(ExportTraceServiceRequest.FromString(collector.bodies[0]).resource_spans) == 1


def test_upstreams_are_told_only_where_that_is_set(collector: Collector) -> None:
    for said, told in (("false", False), ("true", True)):
        configure(collector.url, ORCHARD_TRACE_UPSTREAMS=said)
        span = tracing.begin("GET main", tracing.CLIENT, (b"1" * 16, b""))
        assert ("traceparent" in tracing.sent_to_upstream(span)) == told
