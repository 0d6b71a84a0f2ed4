"""What each statement of the services is asked with in the large installation: one sample a statement.

A statement that has neither a sample nor a reason to have none fails tests/bench/test_scale.py.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bench.scale.rows import PROTOCOLS, Sizes, digest, package
from services.fetcher.sources.absences import MOST_KNOWN, MOST_OF_PROJECT, MOST_UNKNOWN
from services.gateway.api.catalogue_rows import LAST
from services.gateway.api.stock import percent
from shared.artifacts.rows import dependency_columns, extraction_columns, url_columns
from shared.models import CachedUrl, Dependency, Extraction, FileName, StoredFile

T = TypeVar("T")
Arguments = tuple[Any, ...]
Sample = Callable[[Sizes, int], Arguments]
"""The arguments of one call; the number is any below 2³¹ and tells one call from another."""

MANY = 100  # of a batch that a service writes or asks for at once
HOUSEKEPT = 1000  # of a batch of housekeeping
NOW = time.time()
EPOCH = datetime.fromtimestamp(0, UTC)
TODAY = datetime.now(UTC).date()

WITHOUT = ("services.standalone", "services.cli", "shared.migrations")
SMALL = {
    **dict.fromkeys(("_APPLY", "_LIFT", "_LOAD", "_RESEAL", "_SEED"), "sources: some"),
    **dict.fromkeys(("ADD_UPSTREAM", "CHANGE_UPSTREAM", "DROP_UPSTREAM", "LIST_UPSTREAMS"), "sources: some"),
    **dict.fromkeys(
        ("ADD_ACCESS", "DROP_ACCESS", "LIST_ACCESS", "ROTATE_ACCESS", "_TOUCH"), "tokens: bounded"
    ),
    **dict.fromkeys(("ADD_BLOCK", "DROP_BLOCK", "LIST_BLOCKS"), "blocks: bounded"),
    **dict.fromkeys(("PROGRESS", "SAVE_PROGRESS", "END_PROGRESS"), "of one key, or of what runs"),
    **dict.fromkeys(("_GOES", "_NEWER"), "parts of other statements"),
    **dict.fromkeys(("_RULES", "_PUT_RULES", "_WEAKENED"), "one row"),
    **dict.fromkeys(("ADD_EXEMPTION", "DROP_EXEMPTION", "LIST_EXEMPTIONS"), "exemptions: bounded"),
    **dict.fromkeys(("_READ", "_WRITE"), "blocks of upstreams: one row a source"),
    **dict.fromkeys(
        ("_SNAPSHOT", "rows:_KEEP", "_CONFIRM", "_REFUSE", "_TOLD", "feeds:_ACCEPT"), "feeds: some"
    ),
    **dict.fromkeys(("_HOLD", "_RELEASE"), "quarantine: what is stored of malware"),
    **dict.fromkeys(
        ("_LIST_WEBHOOKS", "_ADD_WEBHOOK", "_CHANGE_WEBHOOK", "_DROP_WEBHOOK", "_FIND_WEBHOOK", "_STANDING"),
        "webhooks: bounded",
    ),
    **dict.fromkeys(
        ("_CLAIM_WEBHOOKS", "_NEXT_EVENT", "_EVENT_DONE", "_WEBHOOK_FAILED", "_LET_GO", "_RESEAL_WEBHOOK"),
        "webhooks and their outbox, by key",
    ),
    "_TIDY_OUTBOX": "webhooks' outbox: bounded",
    **dict.fromkeys(("_NOTICE_FAILING", "_NOTICE_RECOVERED", "_NOTICED_LAST"), "a row a source or queue"),
    **dict.fromkeys(
        ("_NOTICED_SINCE", "_NOTICE_ONCE", "_NOTICED_UP_TO"), "dead letters of the last minutes: some"
    ),
    **dict.fromkeys(("SIZES", "SIZE", "DATABASE_SIZE"), "sizes of files"),
    "statements:_NAMES": "parts of other statements",
    "SEALED": "of one key",
    **dict.fromkeys(("_REPLACE", "policy_rows:_STANDING"), "rules of the policy: bounded"),
    "rules:_APPLIED": "one row, by an index of its own",
    **dict.fromkeys(("rows:STATE", "rows:PUBLISH", "rows:COSIGN"), "the log: one row"),
    **dict.fromkeys(
        ("rows:WAITING", "rows:APPEND", "rows:TAIL", "FIRST_OF_TAIL", "BUNDLED"), "256 rows by key"
    ),
    "LATEST": "the newest sealed builds",
    **dict.fromkeys(("rows:TILE", "rows:ROOTS", "SOUGHT"), "tiles of the log, by key"),
    **dict.fromkeys(("STATED", "statements:STATE"), "statements: one row, and 256 by key"),
    **dict.fromkeys(("UNSTATED", "STATE_BUILD", "OF_BUILD", "rows:REMOVE", "UNSEAL"), "sealed builds: some"),
    **dict.fromkeys(("OF_FILE", "OF_VERSION"), "statements of a file or version, by key"),
    **dict.fromkeys(("ADD_TRUST", "DROP_TRUST", "LIST_TRUST"), "rules of whom to trust: some"),
    **dict.fromkeys(
        (
            "_KEPT",
            "_FORGET_IMPORTED",
            "_STORE_IMPORTED",
            "_STANDING_IMPORTED",
            "_IMPORTED_AT_PATH",
            "_IMPORTED_OF_PROJECT",
        ),
        "imported files, by key or of one project",
    ),
    "_IMPORTED": "parts of other statements",
    **dict.fromkeys(
        ("_OFFER_IMPORTED", "_RAISE_REVISION", "SOURCE_NAME", "policy_reading:_SOURCES"), "sources: some"
    ),
    "STORE_SIGNATURE": "one row, by key",
    "NO_REMOVALS": "a lock, no table",
    **dict.fromkeys(("PROOF", "OF_FILES"), "proofs and statements of files, by key"),
    "imported:_STATEMENTS": "parts of other statements",
    "answers:FIND": "of one key",
    "answers:KEEP": "of one key",
}
"""Constants without a sample, and why."""


def statements() -> dict[str, str]:
    """Every statement that stands in a constant of a service: `module:CONSTANT` → SQL."""
    found: dict[str, str] = {}
    for root in ("shared", "services"):
        for module in pkgutil.walk_packages(importlib.import_module(root).__path__, f"{root}."):
            if module.name.endswith("__main__") or module.name.startswith(WITHOUT):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, str) and name.isupper() and _SQL.match(value):
                    found.setdefault(value, f"{module.name}:{name}")
    return {name: value for value, name in found.items()}


_SQL = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b")


def of(table: Mapping[str, T], name: str) -> T | None:
    """The entry of `module:CONSTANT` in SAMPLES or SMALL, by its last part where that says which."""
    module, _, constant = name.partition(":")
    exact = table.get(f"{module.rpartition('.')[2]}:{constant}")
    return table.get(constant) if exact is None else exact


# --- names --------------------------------------------------------------------------------------


def _file(sizes: Sizes, n: int) -> FileName:
    number = n % sizes.files
    protocol, name = package(number // 5 % sizes.packages)
    return FileName(protocol, name, digest("a", number * 2).hex(), f"{name}-{number % 5}.0.whl")


def _files(sizes: Sizes, n: int, count: int) -> list[FileName]:
    return [_file(sizes, n + step * 7919) for step in range(count)]


def _sha256(sizes: Sizes, n: int) -> bytes:
    return bytes.fromhex(_file(sizes, n).file_id)


def _digests(sizes: Sizes, n: int, count: int) -> list[bytes]:
    return [bytes.fromhex(each.file_id) for each in _files(sizes, n, count)]


def _package(sizes: Sizes, n: int) -> tuple[str, str]:
    return package(n % sizes.packages)


def _source(sizes: Sizes, n: int) -> int:
    return 1 + n % sizes.packages % 2 * 3


def _index(sizes: Sizes, n: int) -> tuple[str, str]:
    protocol, name = _package(sizes, n)
    return protocol, f"simple/{name}"


def _new(sizes: Sizes, n: int) -> list[CachedUrl]:
    """Files that are not stored, of packages that are."""
    found = []
    for step in range(MANY):
        protocol, name = _package(sizes, n + step)
        sha256 = digest("new", n * MANY + step).hex()
        file = FileName(protocol, name, sha256, f"{name}-9.{step}.whl")
        stored = StoredFile(sha256, 1000, "application/zip", f"artifacts/{sha256}", file.filename)
        found.append(CachedUrl(file, stored, generation=1, source_id=1, upstream_url="http://127.0.0.1:9/x"))
    return found


def _extractions(sizes: Sizes, n: int) -> Arguments:
    needs = tuple(Dependency(at, f"needed-{at} >= 1", f"needed-{at}", ">=1", "", ()) for at in range(10))
    digests = sorted({each.hex() for each in _digests(sizes, n, MANY)})
    of = [Extraction(each, "extracted", name="x", version="1", dependencies=needs) for each in digests]
    return (*extraction_columns(of), *dependency_columns(of))


def _metadata_columns(sizes: Sizes, n: int) -> Arguments:
    files = [each for each in _files(sizes, n, MANY) if each.protocol == _file(sizes, n).protocol]
    names = [f"{each.filename}.metadata" for each in files]
    columns = [each.project for each in files], [each.file_id for each in files], [e.filename for e in files]
    return (_file(sizes, n).protocol, *columns, names)


def _astuple(file: FileName) -> tuple[str, str, str, str]:
    return file.protocol, file.project, file.file_id, file.filename


def _ago(n: int, days: int) -> datetime:
    return datetime.fromtimestamp(NOW - n % (days * 86_400), UTC)


SAMPLES: dict[str, Sample] = {
    # housekeeping
    "PENDING": lambda s, n: (60.0, EPOCH, b"", 200),
    "NAMED_TILES": lambda s, n: (_digests(s, n, HOUSEKEPT),),
    "NAMED_STATEMENTS": lambda s, n: (_digests(s, n, HOUSEKEPT),),
    "PUBLISHERS": lambda s, n: (
        [each.protocol for each in _files(s, n, MANY)],
        [each.project for each in _files(s, n, MANY)],
        [each.file_id for each in _files(s, n, MANY)],
    ),
    "described:ROWS": lambda s, n: tuple(
        list(column) for column in zip(*map(_astuple, _files(s, n, MANY)), strict=True)
    ),
    "FACTS": lambda s, n: (_digests(s, n, MANY),),
    "concerned:STORED": lambda s, n: (*_package(s, n), 100),
    "concerned:SERVED": lambda s, n: (*_package(s, n), 100),
    "_SPELT": lambda s, n: (_package(s, n)[0], [_package(s, n + 2 * step)[1] for step in range(MANY)]),
    "_OF_BYTES": lambda s, n: (_digests(s, n, MANY),),
    "news:_FILES": lambda s, n: (
        _package(s, n)[0],
        *([_package(s, n + 2 * step)[1] for step in range(MANY)] for _ in range(2)),
    ),
    "quarantine:_FILES": lambda s, n: (
        _package(s, n)[0],
        [_package(s, n + 2 * step)[1] for step in range(MANY)],
    ),
    "own_policy:PENDING": lambda s, n: (_digests(s, n, MANY),),
    "admitted:STORED": lambda s, n: (
        _package(s, n)[0],
        [_package(s, n + 2 * step)[1] for step in range(MANY)],
    ),
    "NAMED_FILES": lambda s, n: (_digests(s, n, HOUSEKEPT),),
    "NAMED_PAGES": lambda s, n: (
        [f"documents/{digest('d', (n + step) % s.packages).hex()}" for step in range(HOUSEKEPT)],
    ),
    "FILES": lambda s, n: (*_package(s, n), "", "", 100),
    "scrubber:FILES": lambda s, n: (digest("at", n).hex(), 500),
    "scrubber:PAGES": lambda s, n: (f"documents/{digest('at', n).hex()}", 500),
    "RESOLUTIONS": lambda s, n: (_ago(n, 3), b"", 16),
    "LOCKS": lambda s, n: (_ago(n, 3), b"", 16),
    "REFETCHABLE": lambda s, n: (_digests(s, n, HOUSEKEPT // 2),),
    "UPSERT": lambda s, n: (_digests(s, n, HOUSEKEPT // 5), [NOW] * (HOUSEKEPT // 5)),
    "READ": lambda s, n: (_digests(s, n, HOUSEKEPT),),
    # files and pages
    "LOOKUP": lambda s, n: _astuple(_file(s, n)),
    "DATE_FILE": lambda s, n: (*_astuple(_file(s, n)), NOW, ""),
    "FIRST_SEEN": _package,
    "SEEN_AND_EVIDENCE": _package,
    "STORE_SIGNATURE": lambda s, n: (
        *_package(s, n), "1.0", f"demo-{n}.jar", f"{n:064x}", "verified", "f" * 40, "", "0" * 16
    ),
    "STORE_EVIDENCE": lambda s, n: (
        *_package(s, n), [f"{n:064x}"], ["verified"], ["GitHub"], ["us/lib"], ["release.yml"],
        [""], ["root"], ["verified"],
    ),
    "NOTE_SEEN": lambda s, n: (*_package(s, n), b"seen", b""),
    "LOOKUP_MANY": lambda s, n: (
        list(range(MANY)), *map(list, zip(*map(_astuple, _files(s, n, MANY)), strict=True)),
    ),
    "STORE": lambda s, n: tuple(url_columns(_new(s, n))),
    "STORE_EXTRACTIONS": _extractions,
    "EXTRACTION": lambda s, n: (_sha256(s, n),),
    "STANDING_FILE": lambda s, n: (
        *_astuple(_file(s, n)), f"{_file(s, n).filename}.metadata", f"simple/{_file(s, n).project}",
    ),
    "PIN_METADATA": lambda s, n: (*_astuple(_file(s, n)), digest("new", n), 1, "x", "artifacts/x", 2),
    "DROP_PROVISIONAL": lambda s, n: _astuple(_file(s, n)),
    "SEALED_FILES": lambda s, n: (_package(s, n)[0], [_package(s, n + 2 * step)[1] for step in range(MANY)]),
    "STORED_DOCUMENT": _index,
    "INDEX_STATE": lambda s, n: (*_index(s, n), _package(s, n)[1], [_package(s, n)[1]]),
    "STORE_DOCUMENT": lambda s, n: (
        *_index(s, n), _package(s, n)[1], _source(s, n), 2, f"documents/{digest('new', n).hex()}", NOW, "",
        "", True, [_source(s, n)],
    ),
    "MARK_GONE": lambda s, n: (*_index(s, n), 2),
    "PINNED_SOURCES": lambda s, n: (_package(s, n)[0], [_package(s, n + 2 * k)[1] for k in range(MANY)]),
    "PIN_FIRST": lambda s, n: (*_package(s, n), _source(s, n)),
    "STORE_EVENTS": lambda s, n: (
        ["digest_mismatch"] * MANY, ["pypi"] * MANY, ["project"] * MANY, [str(k) for k in range(MANY)],
        [json.dumps({"n": n})] * MANY,
    ),
    # resolving
    "DOCUMENTS": lambda s, n: (_package(s, n)[0], [_index(s, n + 2 * step)[1] for step in range(MANY)]),
    "ROOT": lambda s, n: (_sha256(s, n), _file(s, n).protocol),
    "STORED_METADATA": _metadata_columns,
    "FIND": lambda s, n: (n % (s.rows // 100) + 1,),
    # the ledger of servings
    "CLIENTS": lambda s, n: (
        [digest("c", n + step) for step in range(MANY)], *([""] * MANY for _ in range(4)), TODAY,
    ),
    "rows:FILES": lambda s, n: (
        [digest("f", (n + k) % s.files) for k in range(MANY)], *([""] * MANY for _ in range(5)),
        [digest("a", n)] * MANY, TODAY,
    ),
    "rows:KEEP": lambda s, n: (
        "gateway", n, 0, [NOW] * MANY, *([1] * MANY for _ in range(5)), *([""] * MANY for _ in range(2)),
    ),
    "ADD_DAY": lambda s, n: (TODAY,),
    "FILES_BY_NAME": lambda s, n: (2000, *_package(s, n), ""),
    "GOT_BY_NAME": lambda s, n: (2000, *_package(s, n), ""),
    "FILES_BY_DIGEST": lambda s, n: (2000, digest("a", n)),
    "GOT_BY_DIGEST": lambda s, n: (2000, digest("a", n)),
    "WHO": lambda s, n: (
        [n % s.files + 1], TODAY - timedelta(days=30), TODAY, NOW - 3600, NOW, 0.0, 0.0,
        2**62, 0, 0, 0, "", 100,
    ),
    "EXPORT": lambda s, n: (NOW - 86_400 * (n % 90), NOW + 86_400, -1, 100),
    "LOCKS_NAMING": lambda s, n: (digest("k", n), 64, [b'"pkg:npm/x@1.0.0"'], ""),
    "RESOLUTIONS_NAMING": lambda s, n: (digest("k", n), 64, [b'"pkg:npm/x@1.0.0"'], ""),
    "DROP_DAYS": lambda s, n: (TODAY - timedelta(days=400),),
    "PURGE_CLIENTS": lambda s, n: (TODAY - timedelta(days=89 + n % 2), HOUSEKEPT // 2),
    "PURGE_FILES": lambda s, n: (TODAY - timedelta(days=89 + n % 2), HOUSEKEPT // 2),
    "PURGE_GATEWAYS": lambda s, n: (30,),
    # absences
    "_NOTE": lambda s, n: (*_index(s, n)[:1], f"simple/new-{n}", f"new-{n}", [1], "", 1, MOST_OF_PROJECT),
    "_PRUNE": lambda s, n: (MOST_KNOWN, MOST_UNKNOWN),
    "_FIND": lambda s, n: ("pypi", f"simple/absent-{n % s.absences}", [1, 2, 3]),
    "_PAGES": lambda s, n: (_package(s, n)[0], _source(s, n) + n % 3),
    "_SERVED": lambda s, n: (_digests(s, n, HOUSEKEPT), _source(s, n)),
    "_FILES": lambda s, n: (_package(s, n)[0], _source(s, n) + n % 3, "http://127.0.0.1:9/files/"),
    "_DOUBT": _index,
    "_TRUST": _index,
    "FORGET_ABSENCES": lambda s, n: ("pypi", f"absent-{n % s.absences}", ""),
    # the API
    "ARTIFACT": lambda s, n: (_sha256(s, n), 100),
    "DEPENDENCIES": lambda s, n: (_sha256(s, n), -1, 100),
    "DEPENDENTS": lambda s, n: (
        (package(n % 1000)[0], "maven")[n % 2], package(n % 1000)[1], digest("at", n)[: n % 5 * 8], -1, 100,
    ),
    "PACKAGES": lambda s, n: (_package(s, n)[0], _package(s, n)[1], "", "\U0010ffff", 100),
    "LIST": lambda s, n: (
        ("", "upstream_mutated", "served_by_several")[n % 3], *([[], []], [["pypi"], [""]])[n % 2], 0.0,
        2**62, 2**62, 100, n % 2 == 0,
    ),
    "PLANNED": lambda s, n: (n % (s.rows // 100) + 1,),
    "PAGES": _package,
    "ACCEPT": lambda s, n: ("me", "", n % (s.rows // 100) + 1, 2),
    "UNDO": lambda s, n: ("me", "", n % (s.rows // 100) + 1),
    "LIST_PINS": lambda s, n: (
        ("", "pypi")[n % 2], ("", "package-9", "zzz")[n % 3], ("", "pypi")[n % 2], "", 100,
    ),
    "SET_PIN": lambda s, n: ("me", "", *_package(s, n), [f"{_package(s, n)[0]}1"], ""),
    "DROP_PIN": lambda s, n: ("me", "", *_package(s, n)),
    "PAGES_OF": _package,
    "NOTE": lambda s, n: ("me", "", "action", "target", "{}"),
    "NOTE_ONCE": lambda s, n: ("me", "", "action", f"target-{n}", "{}", 1000),
    "LIST_AUDIT": lambda s, n: (2**62, 100),
    # advisories
    "news:_STORED": lambda s, n: (_package(s, n)[0], [_package(s, n + 2 * k)[1] for k in range(MANY)]),
    "news:_SERVED": lambda s, n: (_package(s, n)[0], [_package(s, n + 2 * k)[1] for k in range(MANY)]),
    "_WHO": lambda s, n: ([n % s.files + 1],),
    **dict.fromkeys(("FILES_ABOUT", "GOT_ABOUT"), lambda s, n: (20_000, *_package(s, n))),
    "feeds:_LIST": lambda s, n: (-1, "", "", "", "", 100),
    "feeds:_FIND": lambda s, n: (_sha256(s, n),),
    # what the rules say
    "upstream_blocks:_STORED": lambda s, n: (
        _package(s, n)[0], _source(s, n), [_package(s, n + 2 * k)[1] for k in range(MANY)],
    ),
    "dry_run:_SERVED": lambda s, n: (TODAY - timedelta(days=30), 3, 1000),
    "dry_run:_CLIENTS": lambda s, n: ([n % s.files + 1],),
    "_PAGE": lambda s, n: (0, 100),
    "licences:NOTE": lambda s, n: (_sha256(s, n), "MIT", ""),
    "FORGET_JUDGED": lambda s, n: (_sha256(s, n), _file(s, n).protocol),
    "licences:ELSEWHERE": lambda s, n: _astuple(_file(s, n)),
    "warned:_NOTE": lambda s, n: (*_package(s, n), ["r"], ["w"], [json.dumps([f"1.{n}"])]),
    "held_queue:_NOTE": lambda s, n: (*_package(s, n), ["1"], [""], [""], [NOW], [0.0], ["{}"], ["1"]),
    # builds
    "rows:STORE": lambda s, n: (f"b{n}", b"{}", [f"builds/{digest('b', n + k).hex()}" for k in range(MANY)]),
    "STORE_LOCK": lambda s, n: (f"l{n}", b"{}", [f"builds/{digest('l', n + k).hex()}" for k in range(MANY)]),
    "rows:REMOVE": lambda s, n: ("somebody", "r", f"b{n}"),
    "OF_LOCK": lambda s, n: (digest("lock", n),),
    "HOLDING": lambda s, n: ([f"artifacts/{digest('a', n + k).hex()}" for k in range(50)], 500),
    "NAMED_BY_BUILDS": lambda s, n: ([f"builds/{digest('b', n + k).hex()}" for k in range(HOUSEKEPT)],),
    # what is stored
    "STOCK": lambda s, n: (percent(s.packages * 90), percent(s.rows * 250)),
    "locks:LOCKS": lambda s, n: (2**52, b"", 26, 256 * 1024),
    "BEGINNING": lambda s, n: (_package(s, n)[0], start := _package(s, n)[1][:-1], f"{start}{LAST}", 50),
    "CONTAINING": lambda s, n: ([f"%{n % s.packages}%"], [*PROTOCOLS], 50),
}  # fmt: skip
