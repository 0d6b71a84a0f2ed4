"""The table of what an upstream's statuses mean is whole and consistent."""

from __future__ import annotations

import pytest

from shared.errors import LastingError
from shared.errors.catalogue import CATALOGUE, is_final
from shared.errors.passing import PassingError
from shared.sources.answers import RULES, meaning


def test_table__every_status_has_a_meaning_and_only_404_and_410_are_absent() -> None:
    for status in range(200, 600):
        found = meaning(status)
        assert isinstance(found, str) or issubclass(found, PassingError | LastingError), status
        assert (found == "absent") == (status in (404, 410)), status


def test_table__no_rule_is_hidden_by_those_before_it() -> None:
    for rule in RULES:
        assert any(meaning(status) is rule.means for status in range(rule.first, rule.last + 1)), rule


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_catalogue__503_only_where_a_retry_can_cure__lasting_ones_are_never_5xx(code: str) -> None:
    error = CATALOGUE[code]("x")
    assert (error.status == 503) == isinstance(error, PassingError)
    if isinstance(error, LastingError):
        assert (error.status_of("index"), error.status_of("artifact")) == (424, 403)
        assert not error.retry_after_seconds and not is_final(code)


@pytest.mark.parametrize("code", ["upstream_refused", "digest_mismatch", "offline", "upstream_unavailable"])
def test_is_final__trouble_of_an_upstream__says_nothing_about_whether_it_exists(code: str) -> None:
    assert not is_final(code)


@pytest.mark.parametrize("code", ["project_not_found", "file_not_found", "blocked"])
def test_is_final__absence_and_blocks(code: str) -> None:
    assert is_final(code)
