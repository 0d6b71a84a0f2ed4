"""What an Orchard's error means to the one below it; a stranger's same words mean nothing."""

from __future__ import annotations

import pytest

from services.fetcher.sources.chained import ABSENT, OF_ONE, is_stale
from services.fetcher.sources.refusals import error_of
from shared.errors import Blocked, LastingError, NoSource, Offline, OrchardError, UpstreamRefused
from shared.errors.catalogue import CATALOGUE
from shared.errors.passing import PassingError, UpstreamRateLimited, UpstreamUnavailable
from shared.http.via import ERROR_HEADER, name_of, told
from shared.models import UpstreamSource

SOURCE = UpstreamSource(id=1, protocol="pypi", name="central", url="http://central.example.com/pypi/simple/")
VIA = told(name_of("a" * 32))
PROBLEM = b'{"detail": "flask is blocked: CVE-1"}'


def meant(code: str, status: int, via: str = VIA, **more: str) -> OrchardError | None:
    headers = {"via": via, ERROR_HEADER: code, "content-type": "application/problem+json", **more}
    return error_of(SOURCE, status, headers, PROBLEM)


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code__trouble_stays_trouble_and_only_a_true_absence_is_one(code: str) -> None:
    kind = CATALOGUE[code]
    for status in {kind.status, kind.file_status} - {0, 416}:  # 416: of a range, whoever says it
        found = meant(code, status)
        if code in ABSENT:
            assert found is None and status == 404
        elif issubclass(kind, LastingError | Blocked):
            assert type(found) is kind and found.of_source
        elif issubclass(kind, PassingError):
            assert isinstance(found, UpstreamUnavailable)
            assert found.about_one is issubclass(kind, OF_ONE)
        else:
            assert isinstance(found, (LastingError, PassingError))


TABLE = {
    ("blocked", 403): Blocked,
    ("no_source", 424): NoSource,
    ("offline", 403): Offline,
    ("route_not_found", 404): UpstreamRefused,
    ("of_a_later_version", 403): UpstreamRefused,
    ("of_a_later_version", 503): UpstreamUnavailable,
    ("of_a_later_version", 404): UpstreamRefused,
    ("too_many_guesses", 429): UpstreamRateLimited,
}


@pytest.mark.parametrize(("code", "status"), TABLE)
def test_code__error(code: str, status: int) -> None:
    assert type(meant(code, status)) is TABLE[code, status]


def test_block__tells_who_says_so_and_why() -> None:
    error = meant("blocked", 403)
    assert error is not None
    assert error.message == "upstream central answered 403: flask is blocked: CVE-1"


def test_too_busy__retry_after_is_heeded() -> None:
    error = meant("overloaded", 503, **{"retry-after": "7"})
    assert error is not None
    assert (error.retry_after_seconds, error.asked_to_wait, error.about_one) == (7, True, False)


@pytest.mark.parametrize("via", ["", "1.1 varnish (Varnish/7.1)", f"1.1 {name_of('a' * 32)}"])
def test_stranger__its_status_alone_counts(via: str) -> None:
    assert type(meant("blocked", 403, via)) is UpstreamRefused
    assert meant("route_not_found", 404, via) is None
    assert not is_stale({"via": via, "x-cache": "STALE"})


def test_stale__of_an_orchard() -> None:
    assert is_stale({"via": VIA, "x-cache": "STALE"})
    assert not is_stale({"via": VIA, "x-cache": "HIT"})
