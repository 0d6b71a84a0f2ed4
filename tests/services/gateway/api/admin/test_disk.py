"""The report on the disk: what was counted, what grows, when the floor is reached."""

from __future__ import annotations

from services.gateway.api.admin.disk import WorkerDisk, report
from shared.objects.measured import Amount, Measured
from shared.settings import load_settings

GIB = 1024**3


def counts(number: int, *, grown_bytes: int) -> list[Measured]:
    """An hour apart, the newest first."""
    return [
        Measured(3600.0 * at, {"artifacts": Amount(at, at * grown_bytes)}, 7)
        for at in reversed(range(number))
    ]


def worker(free_bytes: int) -> WorkerDisk:
    return WorkerDisk("fetcher", "a", free_bytes, 100 * GIB, GIB, "well")


def test_report__grows__says_when_the_fullest_disk_is_at_its_floor() -> None:
    found = report([worker(50 * GIB), worker(25 * GIB)], counts(25, grown_bytes=GIB // 2), load_settings({}))
    assert found.growth_bytes_per_day == 12 * GIB
    assert found.full_in_days == 2.0
    assert found.stored == {"artifacts": Amount(24, 12 * GIB)} and found.database_bytes == 7


def test_report__shrinks_or_already_below__no_days_or_none_left() -> None:
    assert report([worker(GIB)], counts(25, grown_bytes=0), load_settings({})).full_in_days is None
    assert report([worker(0)], counts(25, grown_bytes=1), load_settings({})).full_in_days == 0.0


def test_report__nothing_counted_yet__says_so() -> None:
    found = report([], [], load_settings({"ORCHARD_OFFLINE": "true"}))
    assert (found.measured_at, found.stored, found.database_bytes, found.evicts) == (None, {}, None, False)


def test_history__a_month_of_hours__is_thinned_and_ends_with_the_newest() -> None:
    found = report([], counts(768, grown_bytes=1), load_settings({"ORCHARD_EVICT_BYTES": "5"}))
    assert len(found.history) == 48 and found.evict_bytes == 5
    assert found.history[-1].at == found.measured_at == 3600.0 * 767
    assert [each.at for each in found.history] == sorted(each.at for each in found.history)
