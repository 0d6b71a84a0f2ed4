"""Addresses with credentials: split, decoded, never repeated in an error."""

from __future__ import annotations

import pytest

from shared.errors import ConfigurationError
from shared.sources.options import SourceOptions
from shared.sources.urls import SourceAddress, names_private_host, secured, split_credentials

VARIABLE = "ORCHARD_PYPI_UPSTREAM"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example.com/simple/", SourceAddress("https://a.example.com/simple/")),
        ("https://a.example.com/simple", SourceAddress("https://a.example.com/simple/")),
        ("https://a.example.com", SourceAddress("https://a.example.com/")),
        (
            "https://me%40corp:p%3Aa%2Fs%40s@a.example.com:8443/simple/",
            SourceAddress("https://a.example.com:8443/simple/", "me@corp", "p:a/s@s"),
        ),
        ("https://token@a.example.com/", SourceAddress("https://a.example.com/", "token")),
        ("http://u:p@[::1]:8080/x", SourceAddress("http://[::1]:8080/x/", "u", "p")),
        (
            "https://a.example.com/m/#absent=403,401,403&checksums=warn&merge=corp&pages=elsewhere",
            SourceAddress(
                "https://a.example.com/m/", options=SourceOptions((401, 403), "warn", "corp", True)
            ),
        ),
        (
            "https://a.example.com/m/#ahead=off",
            SourceAddress("https://a.example.com/m/", options=SourceOptions(read_ahead=False)),
        ),
        (
            "https://a.example.com/m/#ages=off",
            SourceAddress("https://a.example.com/m/", options=SourceOptions(aged=False)),
        ),
        (
            "https://a.example.com/m/#pages=here",
            SourceAddress("https://a.example.com/m/", options=SourceOptions()),
        ),
    ],
)
def test_split__credentials__apart_and_decoded(text: str, expected: SourceAddress) -> None:
    assert split_credentials(text, VARIABLE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ftp://u:hunter2@a.example.com/",
        "https://u:hunter2@/simple/",
        "https://u:hunter2@a.example.com:port/",
        "https://a.example.com/?token=hunter2",
        "https://a.example.com/#absent=hunter2",
        "https://a.example.com/#hunter2",
        "https://a.example.com/#absent=429",
        "https://a.example.com/#checksums=hunter2",
        "https://u:hunter2@[::1/",
    ],
)
def test_split__unusable__names_the_variable_and_shows_no_secret(text: str) -> None:
    with pytest.raises(ConfigurationError, match=VARIABLE) as caught:
        split_credentials(text, VARIABLE)
    assert "hunter2" not in str(caught.value)


def test_repr__password__not_shown() -> None:
    assert "hunter2" not in repr(split_credentials("https://u:hunter2@a.example.com/", VARIABLE))


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost:1/", True),
        ("http://127.0.0.1:1/", True),
        ("http://10.1.2.3/", True),
        ("http://[::1]/", True),
        ("http://[fd00::1]/", True),
        ("http://169.254.169.254/", True),
        ("https://a.example.com/", False),
        ("https://8.8.8.8/", False),
    ],
)
def test_names_private_host__by_literal_or_loopback_name(url: str, private: bool) -> None:
    assert names_private_host(url) is private


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("http://a.example.com/f", "https://a.example.com/simple/", "https://a.example.com/f"),
        ("HTTP://A.example.com/f?x=1", "https://a.example.com/simple/", "https://a.example.com/f?x=1"),
        ("http://a.example.com/f", "https://a.example.com:8443/", "https://a.example.com:8443/f"),
        ("http://a.example.com:80/f", "https://u:p@a.example.com/", "https://a.example.com/f"),
        ("http://b.example.com/f", "https://a.example.com/", "http://b.example.com/f"),
        ("http://a.example.com/f", "http://a.example.com/", "http://a.example.com/f"),
        ("https://a.example.com/f", "http://a.example.com/", "https://a.example.com/f"),
        ("http:///f", "https://a.example.com/", "http:///f"),
    ],
)
def test_secured__raises_http_of_the_same_host_alone(url: str, base: str, expected: str) -> None:
    assert secured(url, base) == expected
