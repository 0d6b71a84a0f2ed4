"""Who may read, by address and by what was said about it."""

from __future__ import annotations

import pytest

from shared.access.exposure import check_exposure, reads_anonymously
from shared.errors import ConfigurationError
from shared.settings import Settings

OUTSIDE = ("0.0.0.0", "::", "10.0.0.5", "orchard.example.com")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback__nothing_said__reads_are_open(host: str) -> None:
    settings = Settings(host=host)
    check_exposure(settings)
    assert reads_anonymously(settings)


@pytest.mark.parametrize("host", OUTSIDE)
def test_other_address__nothing_said__refused_in_one_line(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ORCHARD_ANONYMOUS_READ: .*ORCHARD_ADMIN_TOKEN") as caught:
        check_exposure(Settings(host=host))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("host", OUTSIDE)
def test_other_address__a_token_or_the_variable__starts(host: str) -> None:
    for settings, is_open in (
        (Settings(host=host, admin_token="0123456789abcdef"), False),
        (Settings(host=host, anonymous_read=False), False),
        (Settings(host=host, anonymous_read=True), True),
        (Settings(host=host, anonymous_read=True, admin_token="0123456789abcdef"), True),
    ):
        check_exposure(settings)
        assert reads_anonymously(settings) is is_open


def test_loopback__false_said__reads_need_a_token() -> None:
    assert not reads_anonymously(Settings(anonymous_read=False))


WEAK = ("a", "short-one", "a" * 64, "abababababababababab")


@pytest.mark.parametrize("token", WEAK)
def test_admin_token__can_be_guessed__refused_where_others_reach_it_told_on_loopback(
    token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match=r"^ORCHARD_ADMIN_TOKEN: .*openssl rand -hex 32$") as caught:
        check_exposure(Settings(host="0.0.0.0", admin_token=token))
    assert token not in str(caught.value) or token == "a"
    check_exposure(Settings(admin_token=token))
    assert "admin_token_weak" in capsys.readouterr().out
