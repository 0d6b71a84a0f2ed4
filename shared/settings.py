"""Every `ORCHARD_*` variable of every service, in one place: name, default, unit, reason.

Known names are the union over all services, so that one environment can serve them all and a
misspelt name stops the start with one line. Values are read once, at start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from shared.errors import ConfigurationError
from shared.setting_checks import faults_of
from shared.setting_values import addresses, age, check_printable, date, plain, severity
from shared.settings_file import put_into

PREFIX = "ORCHARD_"

Port = Annotated[int, Meta(ge=1, le=65535)]
# By what they count, so that a slip of some digits does not start: none can be meant.
_LONGEST_SECONDS = 10 * 366 * 86_400
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]  # of things at once
NotNegative = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Days = Annotated[int, Meta(ge=0, le=36_600)]
SomeBytes = Annotated[int, Meta(ge=1, le=2**60)]
Bytes = Annotated[int, Meta(ge=0, le=2**60)]
Seconds = Annotated[float, Meta(gt=0, le=_LONGEST_SECONDS)]
WholeSeconds = Annotated[int, Meta(ge=0, le=_LONGEST_SECONDS)]
Lifetime = Annotated[int, Meta(ge=1, le=_LONGEST_SECONDS)]


CLIENT_SECONDS = 10.0  # how long a client is made to wait of whose protocol nothing is known

_VARIABLE = re.compile(r"ORCHARD_([A-Z0-9_]+)")

_SECRETS = frozenset(
    {
        "admin_token",
        "edge_token",
        "secret_key",
        "log_key",
        "otlp_headers",
        "token",
        "id_token",
        "oidc_client_secret",
        "redis_password",
        "queue_redis_password",
        "redis_sentinel_password",
        "queue_redis_sentinel_password",
        "database_url",
        "upstreams",
        "osv_feeds",
        "http_proxy",
        "s3_access_key",
        "s3_secret_key",
    }
)
"""Fields that hold or may hold a password: never shown."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. The field `http_max_connections` is the variable ORCHARD_HTTP_MAX_CONNECTIONS."""

    # --- addresses and data -------------------------------------------------------------------
    host: str = "127.0.0.1"  # where the gateway listens
    port: Port = 8080  # the gateway's port
    settings_file: str = ""  # TOML with settings that the environment lacks (docs/operations.md)
    data_dir: str = "./data"  # standalone: databases, objects, logs
    public_url: tuple[str, ...] = ()  # addresses clients use, comma-separated; unset: the request's Host
    allowed_hosts: tuple[str, ...] = ()  # names clients may call it by; unset: on loopback its own; *: all
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1")  # peers whose X-Forwarded-* is believed
    worker_host: str = "127.0.0.1"  # where a worker's own HTTP (live bytes, health, metrics) listens
    worker_port: Annotated[int, Meta(ge=0, le=65535)] = 0  # 0 = a free port
    worker_advertise: str = ""  # host[:port] that gateways use to reach this worker; "" = as bound

    # --- upstreams ------------------------------------------------------------------------------
    upstreams: dict[str, tuple[str, ...]] = {}  # comma-separated, by priority; unset: see README, Upstreams
    offline: bool = False  # ask no upstream at all
    read_ahead: bool = True  # fetch what a client is likely to ask next; off: nothing but what is asked
    audit_unanswered: str = "fail"  # an audit where no upstream audits: fail, or pass (nothing is found)
    upstream_allow_private: bool = False  # env-made sources may resolve to private addresses
    # (a source whose URL itself names a loopback or private host is always allowed to reach that host)

    # --- upstream HTTP (fetcher) ----------------------------------------------------------------
    http_max_connections: Positive = 100  # per upstream pool; a further request waits for a free one
    http_keepalive_connections: NotNegative = 100  # of those, so many idle ones stay open (decision 0034)
    http1_hosts: tuple[str, ...] = ()  # upstream hosts asked by HTTP/1.1 alone, comma-separated; *: all
    http_connect_timeout: Seconds = 30.0  # seconds to open a connection
    http_read_timeout: Seconds = 60.0  # seconds without a byte; the first byte of a page: 30 at most
    http_worker_threads: Positive = 32  # threads for hashing, compressing, disk
    http_proxy: str = ""  # for both schemes; default: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY; NO_PROXY holds
    ca_file: str = ""  # PEM; default: the usual variables, else the system's store
    min_rate_bytes: Bytes = 1024  # a download slower than this over 30 s is given up
    abandoned_seconds: Seconds = 60.0  # a download whose clients have all left goes on for so long
    abandoned_bytes: Bytes = 64 * 1024 * 1024  # … and for so many bytes, whichever ends first
    max_index_bytes: SomeBytes = 200 * 1024 * 1024  # a larger index page is refused
    index_budget_bytes: SomeBytes = 128 * 1024 * 1024  # memory of indexes read at once, per fetcher
    max_artifact_bytes: SomeBytes = 16 * 1024 * 1024 * 1024  # a larger file is refused

    # --- object store --------------------------------------------------------------------------------
    s3_endpoint: str = ""  # http(s)://host[:port] of an S3 server; "" = files under ORCHARD_DATA_DIR
    s3_bucket: str = "orchard"  # where all objects are
    s3_access_key: str = ""  # never shown
    s3_secret_key: str = ""  # never shown
    s3_region: str = "us-east-1"  # what requests are signed for
    s3_prefix: str = ""  # put before every key, for a bucket that others use too
    s3_create_bucket: bool = False  # make the bucket at start if it is missing
    s3_public_endpoint: str = ""  # how clients reach the store, for redirects; "" = as ORCHARD_S3_ENDPOINT
    sweep: str = "report"  # objects that nothing names: report counts them, delete removes them; or off
    sweep_interval: Seconds = 3600.0  # seconds between two sweeps
    verify_seconds: WholeSeconds = 86_400  # a stored file is hashed again before use after this; 0 = never
    scrub_days: Days = 30  # everything stored is hashed again within so many days; 0 = off
    min_free_bytes: Bytes | None = None  # so much of the disk stays free of files; unset: 1 GiB or 5 %
    relay_bytes: Bytes = 256 * 1024 * 1024  # memory of files passed on while the disk is short, per fetcher
    evict_days: Days = 0  # files not used for so long leave the store until asked for; 0 = off
    evict_bytes: Bytes | None = None  # of files at most; 0: no bound; unset: standalone half of the disk
    hot_objects_dir: str = ""  # gateway: copies of files from S3 that are hot; "" = ORCHARD_DATA_DIR/hot
    hot_objects_bytes: Bytes = 2 * 1024**3  # of these copies at most, per folder; 0 = off
    artifact_delivery: str = "stream"  # stream, or redirect: 307 to a presigned URL of the store

    # --- Redis and PostgreSQL -------------------------------------------------------------------------
    redis_host: str = ""  # "" = standalone starts one; services alone default to 127.0.0.1
    redis_port: Port = 6379  # of the cache Redis, which may evict
    redis_db: NotNegative = 0  # database number
    redis_password: str = ""  # never shown
    redis_sentinels: tuple[str, ...] = ()  # host[:port],… that tell the cache master; _HOST is unused then
    redis_sentinel_master: str = "orchard-cache"  # the master's name there
    redis_sentinel_password: str = ""  # of the Sentinels; never shown
    redis_cluster: tuple[str, ...] = ()  # host[:port],… of a Redis Cluster as cache; _HOST is unused then
    queue_redis_host: str = ""  # another server than the cache; its policy must be noeviction
    queue_redis_port: Port = 6380  # of the queue Redis
    queue_redis_db: NotNegative = 0  # database number
    queue_redis_password: str = ""  # never shown
    queue_redis_sentinels: tuple[str, ...] = ()  # as ORCHARD_REDIS_SENTINELS, of the queue's master
    queue_redis_sentinel_master: str = "orchard-queue"  # the master's name there
    queue_redis_sentinel_password: str = ""  # of the Sentinels; never shown
    database_url: str = ""  # "" = standalone starts one
    database_pool_size: Positive = 20  # idle connections are closed after a while
    database_max_overflow: NotNegative = 30  # POOL_SIZE + MAX_OVERFLOW = most connections
    database_pool_timeout: Seconds = 30.0  # waiting for a connection; capped by the deadline
    database_pool_pre_ping: bool = False  # SELECT 1 before each use
    cache_ttl_index: Lifetime = 300  # an index page is fresh for this long (±10 %)
    cache_ttl_versions: Lifetime = 300  # version listings
    cache_ttl_upstream: Lifetime = 3600  # the revision of a protocol's sources, in Redis; renewed each minute
    cache_ttl_negative: Lifetime = 60  # a true 404 is remembered for this long
    absence_doubt: Seconds = 86_400.0  # so long a 404 of a source that has lost all is doubted
    stale_limit: WholeSeconds = 0  # seconds a page may be served stale; 0 = no limit
    stale_wait: Seconds = 0.5  # an expired or lost page waits so long for its source, then is STALE
    request_timeout: Seconds | None = None  # a client waits so long for what is missing; unset: by protocol
    request_timeouts: dict[str, float] = {}  # unset: as ORCHARD_REQUEST_TIMEOUT; both unset: {default}

    # --- gateway --------------------------------------------------------------------------------------
    l1_max_bytes: Bytes = 128 * 1024 * 1024  # in-process cache of each gateway; 0 = off
    admin_token: str = ""  # the operator's token, beside those in the database (docs/access.md)
    anonymous_read: bool | None = None  # true: reading needs no token; unset: only on a loopback address
    oidc_issuer: str = ""  # the provider by which people sign in to the pages (docs/access.md); unset: tokens
    oidc_client_id: str = ""  # as the provider knows this Orchard
    oidc_client_secret: str = ""  # fetchers: of a confidential client; never shown
    oidc_scopes: tuple[str, ...] = ()  # asked for besides openid, profile and email, such as groups
    oidc_admin: tuple[str, ...] = ()  # operators: CLAIM=PATTERN, such as groups=platform-*; any of them
    oidc_read: tuple[str, ...] = ()  # who may read; sub=* for everybody that the provider signs in
    trusted_ci: tuple[str, ...] = ()  # CI jobs that may read: NAME ISSUER AUDIENCE CLAIM=PATTERN…
    wrong_tokens: NotNegative = 10  # from one address in a minute; then it waits; 0 = no bound
    secret_key: tuple[str, ...] = ()  # 32 bytes in base64; seals sources' passwords; several: first seals
    client_connections: Positive = 1024  # of one address that stand still, where connections run short
    client_stall: Seconds = 30.0  # a response that is taken slower than the minimum rate over this is ended
    client_min_rate_bytes: Bytes = 1024  # per second; of a response, by its client
    client_misses: NotNegative = 20_000  # pages and files not here, per client in 5 min; 0 = no limit
    client_cold_bytes: Bytes = 64 * 1024**3  # of files not here, per client in 5 min; 0 = no limit
    client_starts: NotNegative = 1_000  # resolutions, ensures, bundles, per client in 5 min; 0 = no limit
    body_timeout: Seconds = 60.0  # a request's body has come whole within this, without pauses of 10 s
    body_budget_bytes: SomeBytes = 64 * 1024 * 1024  # memory for request bodies; half of it for one client
    edge: bool = False  # answers tell caches in front what they may keep (deploy/edge)
    edge_purge: tuple[str, ...] = ()  # addresses of caches that are purged, http://host:port, commas between
    edge_token: str = ""  # what purges are sent with, 16 characters or more; never shown
    access_log: bool = True  # one line per request on standard output
    ledger_days: Days = 90  # who got which file is kept so long; 0 = off, and what is kept goes
    ledger_addresses: bool = True  # the ledger keeps clients' addresses; false: their tokens and tools alone
    otlp_endpoint: str = ""  # traces go to this collector by OTLP/HTTP (http://collector:4318); unset: none
    otlp_headers: str = ""  # sent to it: name=value, comma-separated; never shown
    trace_share: Annotated[float, Meta(ge=0, le=1)] = 1.0  # of requests that bring no trace
    trace_upstreams: bool = False  # fetchers tell upstreams the trace (traceparent)
    webhook_pause: Seconds = 86_400.0  # a webhook that has failed for so many seconds is paused
    log_key: str = ""  # extractors: the transparency log's private key, as Go's note writes it; unset: no log
    log_key_file: str = ""  # the same in a file
    log_signer: str = (
        ""  # extractors: socket of an SSH agent that has the private key; `log_key` is the public
    )
    log_witnesses: tuple[str, ...] = ()  # gateways: public keys of witnesses whose cosignatures are kept
    drain_timeout: Seconds = 8.0  # in-flight work gets this long at stop
    drain_notice: Annotated[float, Meta(ge=0, le=_LONGEST_SECONDS)] = (
        0.5  # seconds a stopping gateway still takes connections
    )

    # --- what may be served (docs/firewall.md) ----------------------------------------------------------
    minimum_ages: dict[str, float] = {}  # of a version before it is served: 7d, 36h; unset: no such rule
    nothing_after: float | None = None  # a date (2026-11-01, or RFC 3339): nothing published later is served
    stored_stay: bool = True  # what was stored before a rule was set, or an advisory known, stays served
    popular_names: str = ""  # a file of package URLs, for rules about mistyped names; unset: those known here
    osv_feeds: tuple[str, ...] = ()  # advisories: folders, zips or addresses, comma-separated; unset: none
    osv_severity: float | None = None  # refuse vulnerabilities from: low … critical, any, a CVSS score
    trust: Literal["", "verify", "no-downgrade"] = ""  # provenance: shown, or asked for as well
    trust_unknown: Literal["allow", "hold"] = "allow"  # what nobody could verify yet, under no-downgrade
    registry_keys: tuple[str, ...] = ()  # fetchers: files with public keys of registries, commas between
    signing_keys: tuple[str, ...] = ()  # fetchers: OpenPGP keys, files or folders of them, commas between
    trust_root: str = ""  # fetchers: Sigstore's trusted_root.json; unset: the one that comes with the library

    # --- workers ---------------------------------------------------------------------------------------
    index_slots: Positive = 64  # index fetches at once per fetcher
    artifact_slots: Positive = 256  # downloads at once per fetcher
    refresh_slots: Positive = 16  # background refreshes at once per fetcher (shed first)
    ahead_slots: Positive = 16  # fetches at once of what nobody asked for yet, per fetcher
    extract_slots: Positive = 2  # extractions at once per extractor
    resolve_slots: Positive = 2  # resolutions at once per extractor
    queue_limit: Positive = 20_000  # jobs ready in one queue before new ones are refused (503)
    lease_seconds: Seconds = 3.0  # a dead worker's job is due again after this

    # --- logs --------------------------------------------------------------------------------------------
    log_level: str = "info"  # debug, info, warning or error
    log_format: str = "json"  # json or console
    log_bytes: SomeBytes = 32 * 1024 * 1024  # standalone: of one process's log, before it is put aside
    log_files: NotNegative = 1  # standalone: so many of those before it stay

    # --- the orchard command -----------------------------------------------------------------------------
    url: str = ""  # the Orchard that `orchard` speaks to; "" = this machine's (docs/cli.md)
    id_token: str = ""  # a CI's identity token that `orchard tokens exchange` sends; never shown
    token: str = ""  # what `orchard` and its client configurations read with; never shown

    # --- not variables -----------------------------------------------------------------------------------
    client_seconds: dict[str, float] = {}  # how long a protocol's clients wait, as their protocol says
    ignored: tuple[str, ...] = ()  # variables of protocols that only another version may speak

    def __repr__(self) -> str:  # a log line or traceback must not show a password
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in _SECRETS)
        return f"Settings({', '.join(shown)})"

    def request_seconds(self, protocol: str = "") -> float:
        """How long a client of a protocol ("": of the API) is made to wait at most. Other than the
        upstream's deadline (`http_read_timeout`): what is not ready by then goes on being fetched."""
        own = self.request_timeouts.get(protocol) or self.request_timeout
        return own or self.client_seconds.get(protocol, CLIENT_SECONDS)

    @property
    def database_max_connections(self) -> int:
        """asyncpg's max_size."""
        return self.database_pool_size + self.database_max_overflow


_NAMES = {
    field.name: field
    for field in msgspec.structs.fields(Settings)
    if field.name not in ("upstreams", "request_timeouts", "minimum_ages", "client_seconds", "ignored")
}
_LISTS = {name for name, field in _NAMES.items() if field.type == tuple[str, ...]}
_MAY_BE_UNSET = {name for name, field in _NAMES.items() if field.default is None}
_OF_PROTOCOL = re.compile(
    r"(?P<name>[a-z][a-z0-9]*)_(?P<kind>upstream|request_timeout)|(?P<age>minimum_age)(?:_(?P<of>[a-z][a-z0-9]*))?"
)


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def upstream_variable(protocol: str) -> str:
    """The variable of a protocol's upstreams: ORCHARD_PYPI_UPSTREAM."""
    return variable(f"{protocol}_upstream")


def timeout_variable(protocol: str) -> str:
    """The variable of how long a protocol's clients are made to wait."""
    return variable(f"{protocol}_request_timeout")


def void_rules(settings: Settings) -> list[str]:
    """One line for each variable that asks for protection and gives none: who set it takes it to count."""
    ages = [each for each in settings.ignored if each.startswith(age_variable(""))]
    found = [f"{each}: no protocol is called so here: no such age is asked" for each in ages]
    if settings.osv_severity is not None and not settings.osv_feeds:
        found.append(f"{variable('osv_severity')}: counts for nothing without {variable('osv_feeds')}")
    return found


def age_variable(protocol: str) -> str:
    """The variable of a protocol's minimum age; of all protocols for ""."""
    return variable(f"minimum_age_{protocol}" if protocol else "minimum_age")


def load_settings(
    environ: Mapping[str, str] | None = None, *, protocols: Mapping[str, float] | None = None
) -> Settings:
    """Read and check all variables; of the process's own environment (None) also the settings file's.

    `protocols` are those that are spoken, with the seconds that their clients wait (`spoken` in
    shared/protocols/__init__.py): others have no variables. None: any name may be a protocol's. A variable
    of a name that is like none of them is `ignored`: the environment may be a newer version's, too.
    Raises `ConfigurationError` whose message has one line per fault, each naming its variable;
    values of variables that may hold secrets are not shown.
    """
    shown: dict[str, str] = {}  # keys of the settings file, by variable
    if environ is None:
        environ = os.environ
        try:
            shown = put_into(os.environ)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
    values: dict[str, Any] = {"upstreams": {}, "request_timeouts": {}, "minimum_ages": {}}
    values["client_seconds"] = dict(protocols or {})
    faults: list[str] = []
    for key, raw in sorted(environ.items()):
        if not key.startswith(PREFIX):
            continue
        field, text = key[len(PREFIX) :].lower(), raw.strip()
        own = None if field in _NAMES else _OF_PROTOCOL.fullmatch(field)
        protocol = (own["name"] or own["of"] or "") if own is not None else ""
        if protocol and protocols is not None and protocol not in protocols:
            if key == variable(field) and key not in shown and not _is_like(protocol, protocols):
                values["ignored"] = (*values.get("ignored", ()), key)
                continue
            own = None
        if key != variable(field) or (own is None and field not in _NAMES):
            meant = _did_you_mean(field, protocols or ())
            if key in shown:
                meant = _VARIABLE.sub(lambda name: name[1].lower(), meant)
            faults.append(f"{shown.get(key, key)}: unknown setting{meant}")
            continue
        try:
            check_printable(field in _LISTS or (own is not None and own["kind"] == "upstream"), text)
            if own is None:
                values[field] = _convert(field, text)
            elif own["age"]:
                if text:  # empty is as good as unset: only "0" takes a rule away
                    values["minimum_ages"][protocol] = age(text)
            elif own["kind"] == "upstream":
                values["upstreams"][protocol] = addresses(text)
            elif text:
                values["request_timeouts"][protocol] = msgspec.convert(text, type=Seconds, strict=False)
        except msgspec.ValidationError as error:
            got = "" if field in _SECRETS else f" (got {text!r})"
            faults.append(f"{shown.get(key, key)}: {plain(error)}{got}")
    faults.extend(faults_of(values, variable))
    if faults:
        raise ConfigurationError("\n".join(faults))
    return Settings(**values)


def _convert(field: str, text: str) -> Any:
    if field == "nothing_after":
        return date(text)
    if field == "osv_severity":
        return severity(text)
    if field in _LISTS:
        return addresses(text)
    lowered = text.lower()
    if field in _MAY_BE_UNSET and not text:
        return None
    if _NAMES[field].type in (bool, bool | None) and lowered in ("yes", "on", "no", "off"):
        return lowered in ("yes", "on")
    known = get_args(_NAMES[field].type)
    if known and all(isinstance(each, str) for each in known) and text not in known:
        raise msgspec.ValidationError(f"expected {' or '.join(each or 'nothing' for each in known)}")
    return msgspec.convert(text, type=_NAMES[field].type, strict=False)


def _is_like(name: str, known: Iterable[str]) -> bool:
    import difflib

    return bool(difflib.get_close_matches(name, list(known), n=1))


def _did_you_mean(field: str, protocols: Iterable[str]) -> str:
    import difflib

    own = _OF_PROTOCOL.fullmatch(field)
    if own is not None:  # the kind is right, and so says nothing of which protocol is meant
        given = own["name"] or own["of"] or ""
        names = difflib.get_close_matches(given, list(protocols), n=1) or list(protocols)
        meant = [variable(field.replace(given, name)) for name in names]
    else:
        kinds = ("{}_upstream", "{}_request_timeout", "minimum_age_{}")
        known = [*_NAMES, "minimum_age", *(kind.format(name) for name in protocols for kind in kinds)]
        meant = [variable(each) for each in difflib.get_close_matches(field, known, n=1)]
    if len(meant) > 1:
        return f"; there are {', '.join(meant)}"
    return f"; did you mean {meant[0]}?" if meant else ""
