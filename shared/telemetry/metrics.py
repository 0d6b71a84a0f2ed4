"""Every Prometheus metric of every service, in one place: name, labels, buckets.

Labels are bounded: never a package, version, path or address of a client. Children of hot metrics
are bound once and kept, so that counting a request costs two dictionary look-ups.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from shared.telemetry.answered import Answered

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

# From 0.5 ms (a hit) to 30 s (beyond every client's patience).
REQUEST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Jobs run from milliseconds (an index) to many minutes (a large wheel over a slow line).
JOB_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

PROTOCOLS = {"api"}  # what may be a label beside "other"; `declare_protocols` adds to it
RESULTS = frozenset(
    {"HIT", "LIVE", "PASS", "MISS", "STALE", "NEGATIVE", "REVALIDATED", "NONE"}
)  # as in X-Cache
OTHER = "other"

HTTP_IN_FLIGHT = Gauge("orchard_http_requests_in_flight", "Requests being answered now.", registry=REGISTRY)
CONNECTIONS_ENDED = Counter(
    "orchard_connections_ended_total",
    "Clients' connections that were broken off: slow, or surplus of one address when connections ran short.",
    ("why",),
    registry=REGISTRY,
)
CACHE_LOOKUPS = Counter(
    "orchard_cache_lookups_total", "Reads of the cache.", ("category", "result"), registry=REGISTRY
)
MISS_WAIT = Histogram(
    "orchard_miss_wait_seconds",
    "How long a request waited for a job, until bytes or an answer.",
    ("outcome",),
    buckets=REQUEST_BUCKETS,
    registry=REGISTRY,
)
UPSTREAM_REQUESTS = Counter(
    "orchard_upstream_requests_total", "Requests to upstreams.", ("source", "result"), registry=REGISTRY
)
UPSTREAM_DURATION = Histogram(
    "orchard_upstream_request_duration_seconds",
    "Time to an upstream's response head.",
    ("source",),
    buckets=REQUEST_BUCKETS,
    registry=REGISTRY,
)
UPSTREAM_CONNECTIONS = Gauge(
    "orchard_upstream_connections", "Open connections.", ("source", "state"), registry=REGISTRY
)
UPSTREAM_WAITING = Gauge(
    "orchard_upstream_requests_waiting",
    "Requests that wait for a free connection of the pool.",
    ("source",),
    registry=REGISTRY,
)
UPSTREAM_CONNECTS = Counter(
    "orchard_upstream_connects_total", "Connections opened to upstreams.", ("source",), registry=REGISTRY
)
UPSTREAM_BYTES = Counter(
    "orchard_upstream_bytes_total", "Body bytes read from upstreams.", ("source",), registry=REGISTRY
)
AHEAD_FETCHED = Counter(
    "orchard_ahead_fetched_total", "Documents that were fetched before anybody asked.", ("source",),
    registry=REGISTRY,
)  # fmt: skip
AHEAD_ASKED = Counter(
    "orchard_ahead_asked_total", "Those of them that were asked for within a minute.", ("source",),
    registry=REGISTRY,
)  # fmt: skip
AHEAD_UNASKED_BYTES = Counter(
    "orchard_ahead_unasked_bytes_total", "Body bytes of those that nobody asked for.", ("source",),
    registry=REGISTRY,
)  # fmt: skip
AHEAD_USEFULNESS = Gauge(
    "orchard_ahead_usefulness",
    "Asked for, of what was fetched ahead lately: below 0.7 less is fetched ahead, below 0.5 nothing.",
    ("source",),
    registry=REGISTRY,
)
UPSTREAM_MUTATED = Counter(
    "orchard_upstream_mutated_total",
    "Files that an upstream changed under a sealed name.",
    ("protocol",),
    registry=REGISTRY,
)
INDEX_ENTRIES_DROPPED = Counter(
    "orchard_index_entries_dropped_total",
    "Entries of upstream documents that are not shown: files at private, foreign or impossible addresses.",
    ("protocol",),
    registry=REGISTRY,
)
BREAKER_OPEN = Gauge(
    "orchard_upstream_breaker_open",
    "1 while something of an upstream is left alone: index, file, other or host (@host:port: another one).",
    ("source", "what"),
    registry=REGISTRY,
)
QUEUE_JOBS = Gauge(
    "orchard_queue_jobs",
    "Jobs by state: ready, running, deferred; dead ones are those kept for a person to look at.",
    ("queue", "state"),
    registry=REGISTRY,
)
QUEUE_OLDEST_JOB_AGE = Gauge(
    "orchard_queue_oldest_job_age_seconds", "Age of the oldest ready job.", ("queue",), registry=REGISTRY
)
JOB_WAIT = Histogram(
    "orchard_job_wait_seconds", "From due to started.", ("task",), buckets=JOB_BUCKETS, registry=REGISTRY
)
JOB_DURATION = Histogram(
    "orchard_job_duration_seconds",
    "From started to ended.",
    ("task", "outcome"),
    buckets=JOB_BUCKETS,
    registry=REGISTRY,
)
JOBS_ENQUEUED = Counter(
    "orchard_jobs_enqueued_total",
    "Jobs asked for: accepted, coalesced with one already there, or refused.",
    ("task", "result"),
    registry=REGISTRY,
)
EXTRACTIONS = Counter(
    "orchard_extractions_total",
    "Artifacts read by the extractor, by state and reason class.",
    ("protocol", "state", "reason"),
    registry=REGISTRY,
)
EXTRACTION_BYTES_READ = Counter(
    "orchard_extraction_bytes_read_total", "Artifact bytes the extractor read.", registry=REGISTRY
)
BATCH_ROWS = Histogram(
    "orchard_database_batch_rows",
    "Rows per batched statement.",
    ("statement",),
    buckets=(1, 2, 5, 10, 20, 50, 100),
    registry=REGISTRY,
)
DATABASE_STATEMENT_DURATION = Histogram(
    "orchard_database_statement_duration_seconds",
    "From a connection in hand to the answer.",
    buckets=REQUEST_BUCKETS,
    registry=REGISTRY,
)
DATABASE_WAIT = Histogram(
    "orchard_database_wait_seconds",
    "How long a statement waited for a connection.",
    buckets=REQUEST_BUCKETS,
    registry=REGISTRY,
)
DATABASE_CONNECTIONS = Gauge(
    "orchard_database_connections",
    "Connections of the pool: in_use, idle; max is what it may hold.",
    ("state",),
    registry=REGISTRY,
)
DATABASE_WAITING = Gauge(
    "orchard_database_statements_waiting", "Statements that wait for a connection.", registry=REGISTRY
)
DATABASE_ERRORS = Counter(
    "orchard_database_errors_total",
    "Statements that failed, by the code of the error.",
    ("error",),
    registry=REGISTRY,
)
REDIS_DURATION = Histogram(
    "orchard_redis_request_duration_seconds",
    "A call of Redis, waiting for a connection included.",
    ("role",),
    buckets=REQUEST_BUCKETS,
    registry=REGISTRY,
)
REDIS_ERRORS = Counter(
    "orchard_redis_errors_total",
    "Calls that failed: timeout, failed, or refused at once because an earlier one had timed out.",
    ("role", "kind"),
    registry=REGISTRY,
)
REDIS_CONNECTS = Counter(
    "orchard_redis_connects_total",
    "Connections opened; more than a few a minute are reconnects.",
    ("role",),
    registry=REGISTRY,
)
REDIS_AVAILABLE = Gauge(
    "orchard_redis_available", "0 while Redis has missed a deadline and no probe came back.", ("role",),
    registry=REGISTRY,
)  # fmt: skip
OBJECT_DURATION = Histogram(
    "orchard_object_operation_duration_seconds",
    "Operations on the object store, a stream's until its first bytes; result ok, missing or failed.",
    ("operation", "result"),
    buckets=REQUEST_BUCKETS,
    registry=REGISTRY,
)
OBJECT_BYTES = Counter(
    "orchard_object_bytes_total",
    "Object bytes read and written; files sent by path are not read here.",
    ("direction",),
    registry=REGISTRY,
)
DISK_FREE_BYTES = Gauge(
    "orchard_disk_free_bytes", "Free on the file system of the data folder.", registry=REGISTRY
)
DISK_FLOOR_BYTES = Gauge(
    "orchard_disk_floor_bytes",
    "No file is stored when less is free (ORCHARD_MIN_FREE_BYTES).",
    registry=REGISTRY,
)
FILES_PASSED = Counter(
    "orchard_files_passed_total", "Files that were verified and not stored: the disk is short.",
    registry=REGISTRY,
)  # fmt: skip
STORED_BYTES = Gauge(
    "orchard_stored_bytes", "Bytes of objects, as they were last counted (hourly).", ("folder",),
    registry=REGISTRY,
)  # fmt: skip
STORED_OBJECTS = Gauge(
    "orchard_stored_objects", "Objects, as they were last counted (hourly).", ("folder",), registry=REGISTRY
)
DATABASE_BYTES = Gauge(
    "orchard_database_bytes", "Of the database on its disk, as last counted (hourly).", registry=REGISTRY
)
OBJECTS_VERIFIED = Counter(
    "orchard_objects_verified_total",
    "Stored objects that were hashed, by what was found: right or damaged.",
    ("result",),
    registry=REGISTRY,
)
CLOCK_SKEW = Gauge(
    "orchard_clock_skew_seconds",
    "How far this machine's wall clock is ahead of the cache Redis's, by which freshness is judged.",
    registry=REGISTRY,
)
BUILD_INFO = Gauge("orchard_build_info", "Always 1.", ("service", "version", "python"), registry=REGISTRY)


def set_build_info(service: str, version: str) -> None:
    """State once, at start, what runs here."""
    BUILD_INFO.labels(service, version, platform.python_version()).set(1)


def declare_protocols(names: Iterable[str]) -> None:
    """State once, at start, which protocols are labels."""
    PROTOCOLS.update(names)


def _request_labels(protocol: str, result: str) -> tuple[str, str]:
    return protocol if protocol in PROTOCOLS else OTHER, result if result in RESULTS else OTHER


ANSWERED = Answered(REQUEST_BUCKETS, _request_labels)
REGISTRY.register(ANSWERED)
observe_request = ANSWERED.observe
count_bytes_served = ANSWERED.serve


@lru_cache(maxsize=64)
def _lookup_child(category: str, result: str) -> Callable[..., None]:
    return CACHE_LOOKUPS.labels(category, result).inc


def count_cache_lookup(category: str, result: str, count: int = 1) -> None:
    """Count reads of a cache category; `result` is hit or miss. A page that a gateway keeps finished
    is no read: see `orchard_http_requests_total`."""
    _lookup_child(category, result)(count)


JobOutcome = Literal["done", "failed", "dead", "postponed", "retried"]
JOB_OUTCOMES: frozenset[str] = frozenset(get_args(JobOutcome))


@lru_cache(maxsize=128)
def _job_child(task: str, outcome: JobOutcome) -> Callable[..., None]:
    return JOB_DURATION.labels(task, outcome).observe


def observe_job(task: str, outcome: JobOutcome, seconds: float, wait_seconds: float) -> None:
    """Count one run of a job, once: the worker's `run_job` alone calls this, never a handler. `task` is the
    job's tag; postponed: it waits for something; retried: it was given back, or its lease was lost."""
    _job_child(task, outcome)(seconds)
    JOB_WAIT.labels(task).observe(max(0.0, wait_seconds))


L1_LOOKUPS = Counter(
    "orchard_l1_lookups_total",
    "Values of the cache Redis looked for in a gateway's memory; finished pages are no look-ups.",
    ("result",),
    registry=REGISTRY,
)
L1_EVICTIONS = Counter(
    "orchard_l1_evictions_total",
    "Values that left a gateway's memory for want of room (ORCHARD_L1_MAX_BYTES).",
    registry=REGISTRY,
)
L1_BYTES = Gauge("orchard_l1_bytes", "Bytes of values in a gateway's memory.", registry=REGISTRY)
HOT_OBJECT_LOOKUPS = Counter(
    "orchard_hot_object_lookups_total",
    "Files looked for among a gateway's local copies of what lies in S3.",
    ("result",),
    registry=REGISTRY,
)
HOT_OBJECT_FILLS = Counter(
    "orchard_hot_object_fills_total",
    "Local copies made: done, failed, no_room, corrupt.",
    ("result",),
    registry=REGISTRY,
)
HOT_OBJECT_EVICTIONS = Counter(
    "orchard_hot_object_evictions_total", "Local copies removed for want of room.", registry=REGISTRY
)
HOT_OBJECT_BYTES = Gauge("orchard_hot_object_bytes", "Bytes of local copies.", registry=REGISTRY)
_hot_found = HOT_OBJECT_LOOKUPS.labels("hit").inc
_hot_missed = HOT_OBJECT_LOOKUPS.labels("miss").inc


def count_hot_object(*, found: bool) -> None:
    """Count one look-up of a local copy."""
    (_hot_found if found else _hot_missed)()


LEDGER_SERVINGS = Counter(
    "orchard_ledger_servings_total",
    "Servings of this gateway's ledger: kept (in the queue Redis), dropped for want of room there and here.",
    ("result",),
    registry=REGISTRY,
)
LEDGER_BYTES = Gauge(
    "orchard_ledger_waiting_bytes",
    "Bytes of batches that wait in this gateway for the queue Redis.",
    registry=REGISTRY,
)
LEDGER_STORED = Counter(
    "orchard_ledger_stored_total",
    "Servings that this extractor took: stored, repeated (they were there), expired, damaged.",
    ("result",),
    registry=REGISTRY,
)
LOG_APPENDED = Counter(
    "orchard_log_entries_total",
    "Entries that this extractor wrote into the transparency log.",
    registry=REGISTRY,
)
STATED = Counter(
    "orchard_statements_total",
    "Admissions and sealed builds that this extractor signed statements of.",
    registry=REGISTRY,
)
LOG_FELL_BACK = Gauge(
    "orchard_log_fell_back",
    "1: the transparency log is shorter than a checkpoint that was signed, and is not written to.",
    registry=REGISTRY,
)
LEDGER_LAG = Gauge(
    "orchard_ledger_lag_seconds",
    "How long the oldest batch of servings has waited for an extractor.",
    registry=REGISTRY,
)
TRACE_SPANS = Counter(
    "orchard_trace_spans_total",
    "Spans by what became of them: sent, dropped (no collector took them, or too many waited).",
    ("result",),
    registry=REGISTRY,
)
DATABASE_STATEMENTS = Counter("orchard_database_statements_total", "SQL statements sent.", registry=REGISTRY)


def render() -> tuple[bytes, str]:
    """The body of /metrics and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
