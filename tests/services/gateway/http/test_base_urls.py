"""By which address clients are told to come back: Host, ORCHARD_PUBLIC_URL, and what proxies say."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.http.addresses import TrustedProxies
from services.gateway.http.base_urls import IDLE_SECONDS, MAX_KEPT, BaseUrls
from shared.errors import MalformedRequest


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_choose__any_number_of_hosts__none_is_refused() -> None:
    urls = BaseUrls(())
    for number in range(100):
        assert urls.choose(b"host%d.example.com" % number, "http") == f"http://host{number}.example.com"
        assert urls.choose(b"127.0.0.%d:8080" % number, "http") == f"http://127.0.0.{number}:8080"
    assert urls.choose(b"HOST1.example.com", "https") == "https://host1.example.com"


@pytest.mark.parametrize("bad", [b"", None, b"a b", b"a/b", b"a@b", b"x" * 300, b'a"b', b"[::1"])
def test_choose__no_host__is_malformed(bad: bytes | None) -> None:
    with pytest.raises(MalformedRequest):
        BaseUrls(()).choose(bad, "http")


def test_choose__public_urls__are_matched_by_host_and_default_to_the_first() -> None:
    urls = BaseUrls(("https://orchard.example.com/base/", "http://inner.example.com"))
    assert urls.choose(b"inner.example.com", "http") == "http://inner.example.com"
    assert urls.choose(b"whatever", "http") == "https://orchard.example.com/base"
    assert urls.keeps("https://orchard.example.com/base")


def test_keeps__a_few_in_use__the_next_only_when_one_is_idle() -> None:
    clock = Clock()
    urls = BaseUrls((), clock=clock)
    first = [f"http://host{number}" for number in range(MAX_KEPT)]
    assert all(urls.keeps(url) for url in first)
    assert not urls.keeps("http://invented")
    assert all(urls.keeps(url) for url in first)
    clock.seconds = IDLE_SECONDS - 1
    assert urls.keeps(first[0])
    clock.seconds = IDLE_SECONDS + 1
    assert urls.keeps("http://invented")
    assert urls.keeps(first[0])


def applied(networks: tuple[str, ...], peer: str, **headers: str) -> tuple[str, str, str]:
    """Client, scheme and Host as seen by what comes after."""
    named = {b"host": b"inner:1"}
    named |= {f"x-forwarded-{name}".encode(): value.encode("latin-1") for name, value in headers.items()}
    scope: dict[str, Any] = {
        "client": (peer, 5), "scheme": "http", "headers": [*named.items(), (b"accept", b"*/*")],
    }  # fmt: skip
    seen = TrustedProxies(networks).applied(scope, named)
    assert scope["scheme"] == "http"
    assert dict(seen["headers"])[b"host"] == named[b"host"]
    return seen["client"][0], seen["scheme"], named[b"host"].decode()


@pytest.mark.parametrize(
    ("peer", "headers", "seen"),
    [
        ("10.0.0.1", {}, ("10.0.0.1", "http", "inner:1")),
        ("10.0.0.1", {"proto": "https"}, ("10.0.0.1", "https", "inner:1")),
        ("10.0.0.1", {"proto": "HTTPS, http"}, ("10.0.0.1", "https", "inner:1")),
        ("10.0.0.1", {"proto": "javascript"}, ("10.0.0.1", "http", "inner:1")),
        ("10.0.0.1", {"host": "o.example.com"}, ("10.0.0.1", "http", "o.example.com")),
        ("10.0.0.1", {"for": "192.0.2.7"}, ("192.0.2.7", "http", "inner:1")),
        ("10.0.0.1", {"for": "6.6.6.6, 192.0.2.7, 10.0.0.9"}, ("192.0.2.7", "http", "inner:1")),
        ("10.0.0.1", {"for": '"quoted", 10.0.0.9'}, ("10.0.0.9", "http", "inner:1")),
        ("10.0.0.1", {"for": "[2001:db8::1]"}, ("2001:db8::1", "http", "inner:1")),
        ("::ffff:10.0.0.1", {"for": "192.0.2.7"}, ("192.0.2.7", "http", "inner:1")),
        (
            "192.0.2.66", {"for": "192.0.2.7", "proto": "https", "host": "evil.example"},
            ("192.0.2.66", "http", "inner:1"),
        ),
        ("", {"proto": "https"}, ("", "http", "inner:1")),
    ],
)  # fmt: skip
def test_forwarded_headers__count_only_of_a_trusted_peer(
    peer: str, headers: dict[str, str], seen: tuple[str, str, str]
) -> None:
    assert applied(("10.0.0.0/24",), peer, **headers) == seen


def test_forwarded_headers__nobody_is_trusted__change_nothing() -> None:
    assert applied((), "127.0.0.1", proto="https", host="x") == ("127.0.0.1", "http", "inner:1")
